"""agent.render.text: the page, held to the letter."""

import os
from pathlib import Path

from agent.analysis.diagnosis.diagnose import analyse
from agent.render.text import report
from tests.unit.analysis.diagnosis.captures import capture

GOLDEN = Path(__file__).parents[2] / "golden" / "seed-incident.txt"


def test_the_page_of_the_seed_incident_is_the_one_that_was_agreed_on() -> None:
    """KUBEREACH_UPDATE_GOLDEN=1 writes it anew; the difference is then read in review."""
    page = report(analyse(capture()))
    if os.environ.get("KUBEREACH_UPDATE_GOLDEN") == "1":
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(page, encoding="utf-8")
    assert page == GOLDEN.read_text(encoding="utf-8")
