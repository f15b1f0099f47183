"""Chromium as the tests of the page drive it: quiet, headless, and asked for what a person would look at.

With KUBEREACH_UPDATE_GOLDEN=1 the screenshots in docs/screens are made anew.
"""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

SCREENS = Path(__file__).parents[2] / "docs" / "screens"
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
# A browser phones home; this one resolves no name and may ask loopback alone.
QUIET = (
    "--headless=new",
    "--no-sandbox",  # the tests run as root, and it opens our own page only
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--window-size=1200,1500",
)

NEEDS_CHROMIUM = pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="needs Debian's chromium and chromium-driver")
# A look, a plan with its twins, an apply with its connect: seconds, and many of them on a busy machine.
PATIENCE = 60


def start(*more: str, scripts: bool = True) -> WebDriver:
    options = Options()
    options.binary_location = str(CHROMIUM)
    for each in (*QUIET, *more):
        options.add_argument(each)
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=Service(str(DRIVER)))


def stations(browser: WebDriver) -> dict[str, str]:
    """The stations of the way and what became of the packet there."""
    items = browser.find_elements(By.CSS_SELECTOR, ".way li")
    return {item.find_element(By.TAG_NAME, "b").text: item.find_element(By.TAG_NAME, "em").text for item in items}


def picture(browser: WebDriver, name: str) -> None:
    if os.environ.get("KUBEREACH_UPDATE_GOLDEN") == "1":
        SCREENS.mkdir(exist_ok=True)
        browser.save_screenshot(str(SCREENS / f"{name}.png"))


def shown(browser: WebDriver, selector: str, words: str = "") -> WebElement:
    """The first element of a selector that is displayed and says `words`, once there is one."""

    def look(page: WebDriver) -> WebElement | None:
        found = page.find_elements(By.CSS_SELECTOR, selector)
        return next((each for each in found if each.is_displayed() and words in each.text), None)

    waiting: WebDriverWait[WebDriver] = WebDriverWait(browser, PATIENCE, ignored_exceptions=(StaleElementReferenceException,))
    return waiting.until(look, f"nothing shown at {selector} says {words!r}")


def complaints(browser: WebDriver) -> list[dict[str, Any]]:
    """What the browser itself found wrong, such as something that the page's policy forbids."""
    said = browser.get_log("browser")  # type: ignore[no-untyped-call]
    return [entry for entry in said if entry["level"] in ("WARNING", "SEVERE") and "favicon" not in entry["message"]]
