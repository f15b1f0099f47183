"""Times are RFC 3339 in UTC, ids are short and different."""

import re

from agent.service.clock import SystemClock


def test_now_is_rfc_3339_in_utc():
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", SystemClock().now())


def test_ids_fit_a_path_and_differ():
    first, second = SystemClock().new_id(), SystemClock().new_id()
    assert re.fullmatch(r"[0-9a-f]{12}", first)
    assert first != second


def test_monotonic_never_goes_back():
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
