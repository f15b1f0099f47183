"""One browser for a module of tests: starting it takes longer than what most of them do."""

from collections.abc import Iterator

import pytest
from selenium.webdriver.remote.webdriver import WebDriver

from tests.browser.driving import start


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    driver = start()
    yield driver
    driver.quit()
