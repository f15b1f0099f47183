"""agent.analysis.diagnosis.catalog: each cause once, each with its page."""

import re
from pathlib import Path

import pytest

from agent.analysis.diagnosis import catalog
from agent.analysis.diagnosis.catalog.cause import declare
from agent.model.report import Severity

PAGES = Path(__file__).parents[4] / "docs" / "findings"


def test_every_cause_has_its_page_and_every_page_its_cause() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == set(catalog.CATALOG)


def test_the_list_of_pages_names_each_with_its_title() -> None:
    listed = re.findall(r"^- \[(\S+)\]\((\S+)\.md\): (.+)$", (PAGES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted((cause.code, cause.code, cause.title) for cause in catalog.CATALOG.values())


@pytest.mark.parametrize("cause", catalog.CATALOG.values(), ids=lambda cause: cause.code)
def test_a_page_says_what_it_means_and_what_mends_it(cause: catalog.Cause) -> None:
    page = (PAGES / f"{cause.code}.md").read_text()
    assert page.startswith(f"# {cause.code}\n\n{cause.title}.\n")
    assert "**Means:**" in page
    assert "**Fix:**" in page


def test_a_code_is_declared_once() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        declare("input-reject", Severity.INFO, "again")


@pytest.mark.parametrize("cause", catalog.CATALOG.values(), ids=lambda cause: cause.code)
def test_codes_are_kebab_case_and_titles_are_sentences_without_a_stop(cause: catalog.Cause) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cause.code)
    assert cause.title
    assert not cause.title.endswith(".")
