"""The manual page says what the commands' help says, today's."""

import re
from pathlib import Path

import pytest

from agent.cli import manual

PAGE = Path(__file__).parents[3] / "docs" / "kubereach.1"


def test_the_page_is_of_this_version_of_the_commands() -> None:
    assert PAGE.read_text() == manual.render(), "make man"


def test_every_command_has_its_section_and_its_options() -> None:
    page = manual.render()
    sections = dict(re.findall(r'^\.SS "([^"]+)"\n(.*?)(?=^\.S[SH])', page, re.DOTALL | re.MULTILINE))
    assert {"kubereach diagnose", "kubereach serve", "kubereach fix audit verify", "kubereach lab run"} <= {
        name.replace("\\-", "-") for name in sections
    }
    assert "\\-\\-interval" in sections["kubereach serve"]
    assert ".B \\-o, \\-\\-output text|wide|json|yaml" in sections["kubereach diagnose"]
    assert ".B \\-\\-twin / \\-\\-no\\-twin" in sections["kubereach diagnose"]
    assert ".B NAME" in sections["kubereach lab run"]
    assert "Environment: KUBEREACH_NODE_NAME." in sections["kubereach diagnose"]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [("--dry-run", "\\-\\-dry\\-run"), (".TH", "\\&.TH"), ("'x'", "\\&'x'"), ("a\\b", "a\\eb"), ('"', "\\(dq")],
)
def test_words_are_no_macros(text: str, escaped: str) -> None:
    assert manual._escape(text) == escaped
