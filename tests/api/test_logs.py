"""The log: one JSON object a line, whatever strangers say, and no flood."""

import json
import logging

from agent.api import logs
from agent.api.logs import JsonFormatter, Sluice


def record(message, **more):
    found = logging.LogRecord("agent.x", logging.WARNING, "f", 1, message, (), more.pop("exc_info", None))
    found.__dict__.update(more)
    return found


def test_a_line_is_one_object_whatever_is_in_it():
    line = JsonFormatter().format(record('a\n{"level": "x"}\x1b[31m\u202e\udcff', told={"route": "/\n"}))
    assert line.isascii()
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["route"]) == ("warning", "agent.x", "/\n")
    assert found["message"].startswith("a\n")


def test_a_trace_is_part_of_the_line():
    try:
        int("x")
    except ValueError as error:
        line = JsonFormatter().format(record("m", exc_info=(type(error), error, error.__traceback__)))
    assert "ValueError: invalid literal" in json.loads(line)["trace"]


def test_a_flood_is_cut_off_and_counted(monkeypatch):
    now = [7.0]
    monkeypatch.setattr(logs.time, "monotonic", lambda: now[0])
    sluice = Sluice()
    assert sum(sluice.filter(record("m")) for _ in range(250)) == 100
    now[0] = 8.0
    following = record("m")
    assert sluice.filter(following)
    assert following.told == {"lines_not_written": 150}
