"""agent.analysis.diagnosis.catalog: each cause once, each with its page."""

import re
from pathlib import Path

import pytest

from agent.analysis.diagnosis import catalog
from agent.model.report import Severity

PAGE = Path(__file__).parents[4] / "docs" / "findings.md"


def test_every_cause_has_its_section_and_every_section_its_cause() -> None:
    assert set(re.findall(r"^## (\S+)$", PAGE.read_text(), re.MULTILINE)) == set(catalog.CATALOG)


def test_a_code_is_declared_once() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        catalog._declare("input-reject", Severity.INFO, "again")


@pytest.mark.parametrize("cause", catalog.CATALOG.values(), ids=lambda cause: cause.code)
def test_codes_are_kebab_case_and_titles_are_sentences_without_a_stop(cause: catalog.Cause) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cause.code)
    assert cause.title
    assert not cause.title.endswith(".")
