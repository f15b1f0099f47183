"""agent.model.codec: values to plain data and back."""

import contextlib
import json
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.model.capture import Capture, Firewall, Node, Processes, Reading
from agent.model.codec import CodecError, from_plain, to_plain
from agent.model.probe import Outcome, ProbeRequest, ProbeResult, Vantage
from agent.model.report import Probe
from agent.model.settings import Settings


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Sample:
    number: int
    ratio: float = 0.5
    colour: Colour = Colour.RED
    pair: tuple[int, str] = (1, "a")
    many: tuple[int, ...] = ()
    named: dict[str, int] | None = None
    either: int | str = 0
    address: IPv4Address | None = None


def test_a_value_survives_the_way_through_json() -> None:
    sample = Sample(1, 2.0, Colour.RED, (3, "b"), (4, 5), {"x": 6}, "seven", IPv4Address("10.0.0.1"))
    assert from_plain(Sample, json.loads(json.dumps(to_plain(sample)))) == sample


def test_a_capture_survives_the_way_through_json() -> None:
    request = ProbeRequest(vantage=Vantage.POD, namespace=4026532, source="10.0.0.2", target="10.9.0.1", port=10250)
    capture = Capture(
        version="0",
        taken_at="2026-01-01T00:00:00Z",
        settings=Settings(),
        node=Node(hostname="n"),
        processes=Processes(),
        before=Firewall(readings=(Reading(name="nft-json", argv=("nft",), status=0, stdout="\udcff{}"),)),
        probes=(ProbeResult(request=request, outcome=Outcome.HOST_PROHIBITED, errno="EHOSTUNREACH", icmp=(3, 10)),),
    )
    assert from_plain(Capture, json.loads(json.dumps(to_plain(capture)))) == capture


def test_a_trailing_underscore_is_not_part_of_the_key() -> None:
    probe = Probe(vantage="pod", from_="10.0.0.1", to="10.0.0.2:10250", outcome="open")
    assert to_plain(probe)["from"] == "10.0.0.1"
    assert from_plain(Probe, to_plain(probe)) == probe


@pytest.mark.parametrize(
    ("data", "where"),
    [
        pytest.param({}, "number is missing", id="missing key"),
        pytest.param([], "expected an object", id="list for object"),
        pytest.param({"number": "1"}, r"\$\.number: expected int", id="string for int"),
        pytest.param({"number": True}, "expected int", id="bool for int"),
        pytest.param({"number": 1, "colour": "blue"}, r"\$\.colour", id="unknown enum value"),
        pytest.param({"number": 1, "pair": [1]}, "expected 2 items", id="short tuple"),
        pytest.param({"number": 1, "many": "abc"}, "expected a list", id="string for list"),
        pytest.param({"number": 1, "many": [1, "x"]}, r"\$\.many\[1\]", id="wrong item"),
        pytest.param({"number": 1, "named": 3}, "expected an object", id="number for mapping"),
        pytest.param({"number": 1, "either": 1.5}, r"\$\.either", id="no member of a union"),
        pytest.param({"number": 1, "address": "10.0.0.256"}, r"\$\.address", id="bad address"),
    ],
)
def test_data_of_another_shape_names_the_place(data: object, where: str) -> None:
    with pytest.raises(CodecError, match=where):
        from_plain(Sample, data)


def test_unknown_keys_are_ignored_and_an_int_is_a_float() -> None:
    assert from_plain(Sample, {"number": 1, "ratio": 2, "later": "version"}) == Sample(1, 2.0)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_any_data_gives_a_value_or_a_codec_error(data: object) -> None:
    with contextlib.suppress(CodecError):
        from_plain(Capture, data)


def test_addresses_are_written_as_text() -> None:
    assert to_plain({"a": ip_address("::1")}) == {"a": "::1"}
