"""Chromium mends a served incident as a person would: plan, apply, the countdown, confirm, revert; and what is refused."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from tests.browser.driving import NEEDS_CHROMIUM, PATIENCE, complaints, picture, shown, start, stations
from tests.lab.staged import IS_ROOT, PRIVILEGES, served
from tests.service.running import BEARER, CANARY, serving

pytestmark = [pytest.mark.lab, NEEDS_CHROMIUM]


def press(browser: WebDriver, selector: str, words: str = "") -> None:
    """By keyboard: whatever can be pressed must be reached without a mouse."""
    button = shown(browser, selector, words)
    browser.execute_script("arguments[0].focus()", button)  # type: ignore[no-untyped-call]
    assert browser.switch_to.active_element == button
    button.send_keys(Keys.ENTER)


def seconds_left(browser: WebDriver) -> int:
    said = re.search(r"ends by itself in (\d+) s unless confirmed", shown(browser, "[role=timer]", "ends by itself").text)
    assert said, shown(browser, "[role=timer]").text
    return int(said[1])


DARK = {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}


def paper(browser: WebDriver) -> str:
    return browser.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")


def assert_open(browser: WebDriver) -> None:
    drawn = stations(browser)
    assert drawn["kubelet"] == "passed"
    assert "ended here" not in drawn.values()


def test_a_fix_from_plan_to_its_end(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "centos-reject", "--allow-fix") as lab:
        browser.get(lab.url)
        press(browser, "#plan")
        plan = shown(browser, "#mending .panel", "nothing was changed yet")
        for words in (
            "10.244.4.0/24 to 172.31.16.124:10250, TCP",
            "--dport 10250",
            "-j ACCEPT",
            "directly before rule 6 of filter INPUT (iptables-nft)",
            "-A INPUT -j REJECT --reject-with icmp-host-prohibited",
            "other packets walked through both rulesets: none would fare otherwise",
            "after 60 s unless confirmed, then after 1 h unless asked otherwise",
            "iptables-nft -w -I INPUT 6",
            "iptables-nft -w -D INPUT",
            "To stay over a reboot",
        ):
            assert words in plan.text, words
        cells = [
            [cell.text for cell in row.find_elements(By.TAG_NAME, "td")]
            for row in plan.find_elements(By.CSS_SELECTOR, "tbody tr")
        ]
        assert cells[0] == ["REJECT", "ACCEPT"]
        assert cells[1] == ["REJECT", "ACCEPT"]
        assert cells[2][0] == "host-prohibited"
        assert browser.switch_to.active_element.text.startswith("Plan ")
        assert httpx.get(f"{lab.url}/v1/fixes").json()["fixes"] == []
        browser.execute_script("arguments[0].scrollIntoView()", plan)  # type: ignore[no-untyped-call]
        picture(browser, "plan")

        press(browser, "[data-do=apply]", "Apply it, on trial for 60 s")
        first = seconds_left(browser)
        assert 0 < first <= 61
        assert_open(browser)
        assert httpx.get(f"{lab.url}/v1/verdict").status_code == 200
        assert browser.switch_to.active_element.get_attribute("id") == "fixes-title"
        WebDriverWait(browser, PATIENCE).until(lambda page: seconds_left(page) < first)
        picture(browser, "trial")
        light = paper(browser)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", DARK)
        assert paper(browser) != light
        picture(browser, "trial-dark")
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

        press(browser, "[data-do=confirm]")
        assert re.fullmatch(
            r"ends by itself in (1 h|59 min)",
            shown(browser, "#live-fixes .panel", "Confirmed: 10.244.4.0/24").find_element(By.CSS_SELECTOR, "[role=timer]").text,
        )
        assert httpx.get(f"{lab.url}/v1/fixes").json()["fixes"][0]["state"] == "confirmed"

        press(browser, "[data-do=revert]")
        shown(browser, "#live", "Taken out.")
        assert not browser.find_element(By.ID, "fixes").is_displayed()
        assert stations(browser)["input filter"] == "ended here"
        assert browser.switch_to.active_element.text == "Look again"
        history = browser.find_element(By.CSS_SELECTOR, "[aria-labelledby=history-of-fixes]")
        browser.execute_script("arguments[0].scrollIntoView()", history)  # type: ignore[no-untyped-call]
        assert re.search(r"^reverted 10\.244\.4\.0/24 . 172\.31\.16\.124:10250", history.text, re.MULTILINE), history.text
        picture(browser, "reverted")
        assert complaints(browser) == []


def test_what_ends_elsewhere_ends_on_the_page(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "centos-reject", "--allow-fix") as lab:
        browser.get(lab.url)
        plan = httpx.post(f"{lab.url}/v1/plans", timeout=PATIENCE).json()
        fix = httpx.post(f"{lab.url}/v1/fixes", json={"plan": plan["id"]}, timeout=PATIENCE).json()
        browser.get(lab.url)
        shown(browser, "#live-fixes", "On trial")
        httpx.delete(f"{lab.url}/v1/fixes/{fix['id']}", timeout=PATIENCE).raise_for_status()
        shown(browser, "#live", "No fix is open any more.")
        assert stations(browser)["input filter"] == "ended here"


def somebody_changes_the_rules(broker: int) -> None:
    own, nodes = (Path(f"/proc/{process}/ns/net").readlink() for process in ("self", broker))
    assert own != nodes
    enter = ("nsenter", "-t", str(broker), *(() if IS_ROOT else ("-U", "--preserve-credentials")), "-n")
    rule = ("iptables-nft", "-w", "-I", "INPUT", "1", "-s", "203.0.113.9", "-j", "DROP")
    subprocess.run([*enter, *rule], check=True)


def test_a_plan_that_is_out_of_date_says_what_changed_and_plans_anew(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "centos-reject", "--allow-fix") as lab:
        browser.get(lab.url)
        press(browser, "#plan")
        shown(browser, "#mending .panel", "nothing was changed yet")
        somebody_changes_the_rules(lab.pid_of("agent.host.broker"))
        press(browser, "[data-do=apply]")
        refusal = shown(browser, "#refusal .alarm", "The rules changed")
        assert "+" in refusal.text
        assert "203.0.113.9" in refusal.text
        assert "Nothing is open." in refusal.text
        picture(browser, "refused")
        press(browser, "#refusal button", "Plan anew")
        shown(browser, "#mending .panel", "directly before rule 7 of filter INPUT")
        assert browser.find_elements(By.CSS_SELECTOR, "#refusal .alarm") == []


def test_where_fixes_are_not_enabled_the_page_says_who_enables_them(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "centos-reject") as lab:
        browser.get(lab.url)
        press(browser, "#plan")
        press(browser, "[data-do=apply]")
        refusal = shown(browser, "#refusal .alarm", "fixes are not enabled here")
        assert "The operator enables them with --allow-fix." in refusal.text
        assert shown(browser, "#mending", "iptables-nft -w -I INPUT 6")


def test_an_owners_rule_is_left_to_the_owners_own_command(browser: WebDriver) -> None:
    with served(PRIVILEGES[0], "firewalld-nft", "--allow-fix") as lab:
        browser.get(lab.url)
        press(browser, "#plan")
        refusal = shown(browser, "#refusal .alarm", "Refused by a guard")
        assert "firewall-cmd" in refusal.text


@pytest.fixture(scope="module")
def stranger() -> Iterator[WebDriver]:
    """A browser that takes the certificate made at the start, as a person does after comparing its fingerprint."""
    driver = start("--ignore-certificate-errors")
    yield driver
    driver.quit()


EVERYWHERE = """
const kept = [localStorage, sessionStorage].map((each) => JSON.stringify(each));
kept.push(document.cookie, location.href, document.documentElement.outerHTML);
for (const each of performance.getEntriesByType("resource")) kept.push(each.name);
for (const each of document.querySelectorAll("input")) kept.push(each.value);
return kept.join("\\n");
"""


def test_with_a_token_the_page_opens_and_mends_and_keeps_it_nowhere(stranger: WebDriver, tmp_path) -> None:
    with serving(tmp_path, "centos-reject", allow_fix=True) as service:
        url = f"https://127.0.0.1:{service.port}"
        stranger.get(url)
        assert "k8s-worker1" not in stranger.page_source
        field = shown(stranger, "#token")
        assert stranger.switch_to.active_element == field
        field.send_keys("wrong-wrong-wrong", Keys.ENTER)
        shown(stranger, "#live", "This token is not known here.")
        picture(stranger, "locked")
        shown(stranger, "#token").send_keys(CANARY, Keys.ENTER)
        shown(stranger, "h1", "answers icmp-host-prohibited.")
        press(stranger, "#again")
        shown(stranger, "#live", "blocked: ")
        press(stranger, "#plan")
        press(stranger, "[data-do=apply]")
        assert 0 < seconds_left(stranger) <= 61
        assert_open(stranger)
        assert CANARY not in stranger.execute_script(EVERYWHERE)  # type: ignore[no-untyped-call]
        press(stranger, "[data-do=revert]")
        shown(stranger, "#live", "Taken out.")
        fixes = httpx.get(f"{url}/v1/fixes", headers=BEARER, verify=False).json()["fixes"]
        assert [(fix["state"], fix["caller"]) for fix in fixes] == [("reverted", "static token")]
        assert [each for each in complaints(stranger) if "status of 401" not in each["message"]] == []
        stranger.refresh()
        shown(stranger, "#token")
        assert "k8s-worker1" not in stranger.page_source
        assert CANARY not in service.log.read_text()
