"""Chromium opens the page of a served incident: what is drawn, what its buttons do, and that it works without a script."""

import re

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.driving import NEEDS_CHROMIUM, complaints, picture, shown, start, stations
from tests.lab.staged import PRIVILEGES, served

pytestmark = [pytest.mark.lab, NEEDS_CHROMIUM]


# What the live region said, one after the other: of words that came in one burst it shows the last alone, the records have all.
LISTEN = """
window.heard = [];
new MutationObserver((records) => { for (const each of records) heard.push(each.addedNodes[0].textContent); })
  .observe(document.getElementById("live"), { childList: true });
"""


def test_the_deciding_rule_is_where_the_packet_ends(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "centos-reject") as lab:
        browser.get(lab.url)
        assert browser.find_element(By.TAG_NAME, "h1").text.endswith(
            "rule 6 of filter INPUT (iptables-nft) answers icmp-host-prohibited."
        )
        drawn = stations(browser)
        assert drawn["input filter"] == "ended here"
        assert drawn["kubelet"] == "not reached"
        row = browser.find_element(By.CSS_SELECTOR, "tr.decides")
        assert row.text.split()[0] == "6"
        assert "-j REJECT --reject-with icmp-host-prohibited decides" in row.text
        assert "input-reject" in browser.find_element(By.ID, "cause").text
        picture(browser, "centos-reject")
        assert complaints(browser) == []


def test_a_button_looks_again_and_the_history_grows(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "healthy") as lab:
        browser.get(lab.url)
        assert set(stations(browser).values()) == {"passed"}
        picture(browser, "healthy")
        before = httpx.get(f"{lab.url}/v1/diagnoses").json()["items"]
        taken = browser.find_element(By.CSS_SELECTOR, "header .quiet").text
        browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)  # the skip link, then the button: no mouse
        browser.switch_to.active_element.send_keys(Keys.TAB)
        assert browser.switch_to.active_element.text == "Look again"
        browser.execute_script(LISTEN)  # type: ignore[no-untyped-call]
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        shown(browser, "#live", "reachable: ")
        assert browser.find_element(By.CSS_SELECTOR, "header .quiet").text != taken
        after = httpx.get(f"{lab.url}/v1/diagnoses").json()["items"]
        assert len(after) == len(before) + 1
        heard = browser.execute_script("return heard")  # type: ignore[no-untyped-call]
        done = [int(said[1]) for words in heard if (said := re.fullmatch(r"looking: [a-z ]+ \((\d+) done, \d+\.\d s\)", words))]
        assert len(done) > 10, heard
        assert done == [*range(1, len(done) + 1)]
        assert complaints(browser) == []


def test_a_lost_answer_is_drawn_behind_the_kubelet(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "reply-drop-output") as lab:
        browser.get(lab.url)
        drawn = stations(browser)
        assert (drawn["kubelet"], drawn["its answer"]) == ("passed", "ended here")
        picture(browser, "reply-drop-output")


def test_without_scripts_and_in_the_dark_the_report_is_whole() -> None:
    driver = start("--force-dark-mode", "--blink-settings=preferredColorScheme=0", scripts=False)
    try:
        with served(PRIVILEGES[0], "centos-reject") as lab:
            driver.get(lab.url)
            assert stations(driver)["input filter"] == "ended here"
            assert not driver.find_element(By.ID, "actions").is_displayed()
            assert driver.find_element(By.CSS_SELECTOR, "tr.decides").is_displayed()
            picture(driver, "dark")
    finally:
        driver.quit()


def test_a_narrow_screen_scrolls_nothing_sideways(browser: WebDriver) -> None:
    browser.set_window_size(420, 900)
    with served(PRIVILEGES[0], "firewalld-nft") as lab:
        browser.get(lab.url)
        width = browser.execute_script("return document.documentElement.scrollWidth - innerWidth")  # type: ignore[no-untyped-call]
        assert width <= 0
        picture(browser, "narrow")
    browser.set_window_size(1200, 1500)
