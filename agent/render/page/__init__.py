"""The page for a browser: one self-contained document, readable without JavaScript.

`render` is pure: the same report gives the same bytes. Style and script stand in the document and are named by their digests in
`POLICY`, so that nothing else that finds its way in can run or load anything.
"""

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from agent.model.explanation import Verdict
from agent.model.fix import Fixes
from agent.model.report import Report, State
from agent.model.ruleset import Ruleset
from agent.render.chains import NOTHING, Place
from agent.render.clean import clean
from agent.render.page.rules import show_chains
from agent.render.page.way import Mark, draw_way
from agent.render.text import report as as_text

if TYPE_CHECKING:
    from jinja2 import Environment


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


# One script of several files, in a scope of its own.
_PARTS = ("asking", "looking", "mending", "counting", "wiring")
_STYLE = _read("style.css")
_SCRIPT = '"use strict";\n(() => {\n' + "\n".join(_read(f"scripts/{part}.js") for part in _PARTS) + "})();\n"
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


def render(
    report: Report,
    rules: Ruleset | None = None,
    remarks: Mapping[Place, str] = NOTHING,
    history: Sequence[Past] = (),
    fixes: Fixes | None = None,
) -> str:
    """The document. `rules` are those a packet to this node meets, `remarks` stand beside them; `history`: earlier looks.

    `fixes` are those that are known, None where the node is asked for none.
    """
    return _filled(
        "report.html",
        report=report,
        cause=report.cause,
        way=draw_way(report),
        words=_WORDS,
        chains=show_chains(report, rules, remarks) if rules else (),
        history=history,
        fixes=fixes,
        mendable=_is_mendable(report),
        text=as_text(report),
    )


def lock(detail: str) -> str:
    """The document for whoever came without a token, or with one that is nobody's; `detail` is the sentence that says so."""
    return _filled("locked.html", detail=detail)


def _filled(template: str, **values: Any) -> str:
    from markupsafe import Markup  # noqa: PLC0415  as jinja2

    own = {"style": Markup(_STYLE), "script": Markup(_SCRIPT)}  # noqa: S704  our own files
    return _environment().get_template(template).render(**own, **values)


@cache
def _environment() -> "Environment":
    # 2 MiB that a node whose page nobody opens does not keep.
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415

    found = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["clean"] = clean
    return found


def _is_mendable(report: Report) -> bool:
    """Whether a rule stops the packet on its way in, so that a plan may be asked for. Whether one helps, the node says."""
    found = report.explanation
    return report.state is State.BLOCKED and found is not None and found.verdict in (Verdict.DROP, Verdict.REJECT)
