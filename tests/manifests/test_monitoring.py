"""Alerts and dashboard: they ask for metrics that exist, and their links lead somewhere."""

import json
import re
from pathlib import Path

import pytest
import yaml

from agent.render import metrics
from tests.manifests.rendering import MANIFESTS, ROOT

RULES = yaml.safe_load((MANIFESTS / "monitoring" / "prometheusrule.yaml").read_text())["spec"]["groups"][0]["rules"]
DASHBOARD = json.loads((MANIFESTS / "monitoring" / "dashboard.json").read_text())
NAME = re.compile(r"kubereach_[a-z_]+")
PREFIX = "https://github.com/kubereach/kubereach/blob/main/"


def exposed() -> set[str]:
    """The names of render/metrics.py; a counter's as the client library writes it."""
    text = Path(str(metrics.__file__)).read_text()
    counters = set(re.findall(r'(?:CounterMetricFamily|_counter)\(\s*"([a-z_]+)"', text))
    assert counters
    return set(NAME.findall(text)) - counters | {f"{name}_total" for name in counters}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_an_alert_asks_for_what_exists_and_has_a_runbook(rule) -> None:
    assert set(NAME.findall(rule["expr"])) <= exposed()
    url = rule["annotations"]["runbook_url"]
    assert url.startswith(PREFIX)
    path, _, anchor = url.removeprefix(PREFIX).partition("#")
    if "{{" not in path:
        text = (ROOT / path).read_text()
        headings = {
            re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("## ")
        }
        assert not anchor or anchor in headings
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["description"]


def test_the_dashboard_asks_for_what_exists_and_shows_all_of_it() -> None:
    asked = {name for panel in DASHBOARD["panels"] for target in panel["targets"] for name in NAME.findall(target["expr"])}
    assert asked == exposed()


def test_panels_have_places_of_their_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
