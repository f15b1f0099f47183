"""agent.render.page: one document that says all of it, whatever strangers wrote into it."""

import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from agent import __version__
from agent.analysis.diagnosis.diagnose import analyse
from agent.analysis.readers.read import read_firewall
from agent.model.fix import Fix, Fixes, FixState
from agent.model.plan import Flow, Place
from agent.model.report import Report, State
from agent.render.page import POLICY, Past, lock, render
from agent.render.page.rules import AROUND, show_chains
from tests.unit.analysis.diagnosis.captures import SEED, capture, firewall
from tests.unit.analysis.diagnosis.test_rivals import both

HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e\"'&"


class Elements(HTMLParser):
    """The elements of a document with their attributes, and its text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(report: Report | None = None) -> str:
    seen = capture()
    return render(report or analyse(seen), read_firewall(seen.between or seen.before))


def test_it_says_what_the_report_says() -> None:
    document = page()
    for words in (
        "blocked",
        "input-reject",
        "rule 5 of filter INPUT",
        "Why only this node",
        "Ruled out",
        "10.9.1.5",
        "decides",
    ):
        assert words in document


def test_every_element_is_closed_and_none_loads_anything() -> None:
    elements = Elements(page())
    assert elements.open == []
    assert not {"src", "style", "onclick"} & {name for _, attributes in elements.tags for name in attributes}
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in elements.tags}
    assert not {"action", "name", "value"} & {
        name for tag, attributes in elements.tags if tag in {"form", "input"} for name in attributes
    }
    assert [tag for tag, _ in elements.tags].count("script") == 1
    for tag, attributes in elements.tags:
        assert tag != "a" or re.fullmatch(r"#?[a-z][a-z0-9/]*(\?o=text)?", attributes["href"] or "")


def test_the_policy_names_exactly_this_style_and_script() -> None:
    document = page()
    for tag in ("style", "script"):
        text = re.search(f"<{tag}>(.*)</{tag}>", document, re.DOTALL)
        assert text is not None
        digest = b64encode(sha256(text[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in POLICY
    assert POLICY.startswith("default-src 'none';")


def test_strangers_words_stay_words() -> None:
    report = replace(analyse(capture()), summary=HOSTILE, node=HOSTILE, problems=(HOSTILE,), disagreements=(HOSTILE,))
    document = render(report, history=(Past(id="a", asked_at="t", state="blocked", summary=HOSTILE),))
    assert document.count("<script>") == 1
    assert "\x1b" not in document
    assert "\u202e" not in document
    assert document.count("&lt;script&gt;") >= 5


def test_a_report_of_nothing_is_a_page() -> None:
    document = render(Report(node="n", state=State.UNKNOWN, summary="s", taken_at="t", version="0"))
    assert "No cause was found" in document
    assert Elements(document).open == []


def test_a_healthy_node_says_so() -> None:
    document = render(Report(node="n", state=State.REACHABLE, summary="s", taken_at="t", version="0"))
    assert "Nothing is wrong on the way" in document


def test_the_deciding_chain_comes_first_and_its_rule_is_marked() -> None:
    seen = capture()
    chains = show_chains(analyse(seen), read_firewall(seen.between or seen.before), {})
    assert chains[0].title == "ip filter INPUT (legacy)"
    assert [(row.number, row.packets) for row in chains[0].rows if row.decides] == [(5, 1)]
    assert not any(chain.decides for chain in chains[1:])


@pytest.mark.parametrize(("policy", "kind"), [("ACCEPT", "decides lets-in"), ("DROP", "decides")])
def test_what_lets_in_is_not_drawn_as_what_stops(policy: str, kind: str) -> None:
    rules = firewall(f"*filter\n:INPUT {policy} [1:60]\nCOMMIT\n")
    report = analyse(capture(rules))
    document = render(report, read_firewall(rules))
    assert f'<tr class="{kind}"><td>policy' in document


def test_of_a_long_chain_the_rules_around_the_deciding_one_are_shown() -> None:
    many = "".join(f"-A INPUT -s 203.0.113.{number} -j DROP\n" for number in range(200))
    rules = firewall(SEED.format(hits=0).replace("[9:9] -A INPUT -m conntrack", f"{many}[9:9] -A INPUT -m conntrack"))
    report = analyse(capture(rules))
    chain = show_chains(report, read_firewall(rules), {})[0]
    assert len(chain.rows) + chain.left_out == 205
    assert len(chain.rows) <= 2 * AROUND + 1
    assert [row.number for row in chain.rows if row.decides] == [205]


def test_rules_of_which_one_decides_are_all_marked_and_none_is_called_the_one() -> None:
    """Chains of one hook and priority run in an order that no listing shows; no counter was read."""
    twice = both(7, 7)
    report = analyse(capture(twice))
    assert report.explanation is not None
    assert len(report.explanation.stoppers) == 2
    document = render(report, read_firewall(twice))
    assert document.count("<strong>may decide</strong>") == 2
    assert "<strong>decides</strong>" not in document


def test_a_policy_that_decides_is_marked() -> None:
    rules = firewall("*filter\n:INPUT DROP [1:60]\nCOMMIT\n")
    chain = show_chains(analyse(capture(rules)), read_firewall(rules), {})[0]
    assert (chain.policy, chain.policy_packets, chain.policy_decides) == ("drop", 1, True)


FIX = Fix(
    id="0123456789ab",
    state=FixState.REVERTED,
    flow=Flow(source="10.244.4.0/24", destination="172.31.16.124", port=10250),
    place=Place(backend="nft", chain="INPUT", before="-A INPUT -j DROP"),
    rule="-s 10.244.4.0/24 -j ACCEPT",
    caller=HOSTILE,
    applied_at="2026-01-31T12:00:00Z",
    ends_at="2026-01-31T12:01:00Z",
    why=f"not verified: {HOSTILE}",
)


def test_fixes_of_before_are_listed_with_who_and_why() -> None:
    report = analyse(capture())
    document = render(report, fixes=Fixes(fixes=(FIX,), problems=("The journal is torn.",)))
    for words in ("reverted", "172.31.16.124:10250", "2026-01-31T12:01:00Z", "not verified: ", "The journal is torn."):
        assert words in document
    assert document.count("<script>") == 1
    assert "\x1b" not in document
    assert 'id="history-of-fixes"' not in render(report, fixes=Fixes(fixes=()))


def test_a_plan_is_offered_where_a_rule_stops_the_packet_and_nowhere_else() -> None:
    blocked = analyse(capture())
    assert 'id="plan"' in render(blocked)
    for other in (replace(blocked, state=State.REACHABLE), replace(blocked, explanation=None)):
        assert 'id="plan"' not in render(other)


def test_what_needs_a_script_is_hidden_until_one_runs() -> None:
    hidden = {attributes.get("id") for _, attributes in Elements(page()).tags if "hidden" in attributes}
    assert {"actions", "key", "fixes", "mend"} <= hidden


def test_the_door_asks_for_a_token_under_the_same_policy_and_tells_nothing() -> None:
    document = lock("This token is not known here.")
    elements = Elements(document)
    assert elements.open == []
    assert "This token is not known here." in document
    assert re.findall("<(style|script)>(.*?)</", document, re.DOTALL) == re.findall(
        "<(style|script)>(.*?)</", page(), re.DOTALL
    )
    for told in (__version__, "10.244.", "k8s-worker"):
        assert told not in document
