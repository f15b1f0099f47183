"""The audit log's chain: whole, or the first record that is not."""

import json
import random

import pytest

from agent.model.audit import START, seal, verify


@pytest.fixture
def lines():
    made, previous = [], START
    for number in range(1, 101):
        line, previous = seal({"what": "applied", "fix": f"{number:012x}"}, number, previous)
        made.append(line)
    return made


def head(lines):
    last = json.loads(lines[-1])
    return last["number"], last["hash"]


def test_a_whole_log_holds(lines):
    assert verify(lines, head(lines)).problem == ""
    assert verify(lines, head(lines)).records == 100
    assert verify([], None).problem == ""


def test_one_changed_byte_in_any_record_is_found_and_named(lines):
    chance = random.Random(1)
    for index, line in enumerate(lines):
        place = chance.randrange(len(line))
        changed = f"{line[:place]}{chr((ord(line[place]) + 1) % 128)}{line[place + 1 :]}"
        found = verify([*lines[:index], changed, *lines[index + 1 :]], head(lines))
        assert f"record {index + 1} " in found.problem, (index, changed)


def test_a_record_that_is_missing_is_found(lines):
    assert "record 50 " in verify([*lines[:49], *lines[50:]], head(lines)).problem


def test_a_tail_that_was_cut_is_found_by_the_head(lines):
    assert "missing" in verify(lines[:-1], head(lines)).problem


def test_a_log_that_was_written_anew_is_found_by_the_head(lines):
    made, previous = [], START
    for number in range(1, 101):
        line, previous = seal({"what": "nothing"}, number, previous)
        made.append(line)
    assert verify(made, head(lines)).problem


@pytest.mark.parametrize("line", ["not json", "", "[" * 100_000])
def test_what_is_no_record_is_named(lines, line):
    assert verify([*lines[:7], line]).problem == "record 8 is not JSON"
    assert verify([*lines[:7], line]).records == 7


@pytest.mark.parametrize(
    "write",
    [
        lambda record: json.dumps(record, sort_keys=True, indent=1).replace("\n", ""),
        lambda record: json.dumps(dict(reversed(record.items()))),
        lambda record: json.dumps([record]),
    ],
    ids=["other spaces", "another order", "in a list"],
)
def test_a_record_that_says_the_same_in_other_bytes_is_not_ours(lines, write):
    found = verify([*lines[:7], write(json.loads(lines[7])), *lines[8:]], head(lines))
    assert (found.records, found.problem) == (7, "record 8 is not written as kubereach writes it")
