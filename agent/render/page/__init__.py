"""The page for a browser: one self-contained document, readable without JavaScript.

`render` is pure: the same report gives the same bytes. Style and script stand in the document and are named by their digests in
`POLICY`, so that nothing else that finds its way in can run or load anything.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from agent.model.report import Report
from agent.model.ruleset import Ruleset
from agent.render.chains import NOTHING, Place
from agent.render.clean import clean
from agent.render.page.rules import show_chains
from agent.render.page.way import Mark, draw_way
from agent.render.text import report as as_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """One earlier diagnosis: its id, when it was asked for (RFC 3339), its state and its sentence."""

    id: str
    asked_at: str
    state: str
    summary: str


def _read(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """A source expression of Content Security Policy Level 3, section 2.3.1."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


_STYLE, _SCRIPT = _read("style.css"), _read("script.js")
POLICY = (
    f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_WORDS = {
    Mark.PASSED: "passed",
    Mark.DIED: "ended here",
    Mark.UNSURE: "not sure",
    Mark.UNREACHED: "not reached",
}
_ENVIRONMENT = Environment(
    loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters["clean"] = clean


def render(
    report: Report,
    rules: Ruleset | None = None,
    remarks: Mapping[Place, str] = NOTHING,
    history: Sequence[Past] = (),
) -> str:
    """The document. `rules` are those a packet to this node meets, `remarks` stand beside them; `history`: earlier looks."""
    return _ENVIRONMENT.get_template("report.html").render(
        report=report,
        cause=report.cause,
        way=draw_way(report),
        words=_WORDS,
        chains=show_chains(report, rules, remarks) if rules else (),
        history=history,
        text=as_text(report),
        style=Markup(_STYLE),  # noqa: S704  our own file
        script=Markup(_SCRIPT),  # noqa: S704  our own file
    )
