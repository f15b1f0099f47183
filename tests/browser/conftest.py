"""One browser for a module of tests: starting it takes longer than what most of them do."""

from collections.abc import Iterator

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.driving import complaints, start


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    driver = start()
    yield driver
    driver.quit()


@pytest.fixture(autouse=True)
def _forgotten(browser: WebDriver) -> None:
    """What the browser complained of in the test before is no complaint about this one: its log goes on."""
    complaints(browser)
