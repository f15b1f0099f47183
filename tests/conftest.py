"""What all tests share: lab tests need namespaces, and where they can run they must not be skipped."""

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

UNIT = Path(__file__).parent / "unit"
# A cluster takes minutes and is asked for by name: `make e2e`.
collect_ignore = [] if os.environ.get("KUBEREACH_E2E") == "1" else ["e2e"]
NO_SKIPS = os.environ.get("KUBEREACH_NO_SKIPS") == "1"
# What no machine of this kind could run: a set type its kernel lacks, a collected ruleset its own tool refuses to load, a front
# with a user of its own where Python lies in root's home (test_fronts.py tests there what makes it unreadable), a memory limit
# where the control groups are not ours.
CANNOT_RUN = (
    "this kernel does not have",
    "tables-legacy-restore:",
    "tables-nft-restore:",
    "the front has no user of its own",
    "no memory control group",
)
LAB_BINARIES = ("unshare", "nsenter", "ip", "nft", "iptables-legacy-save", "iptables-nft-save")


def pytest_itemcollected(item: pytest.Item) -> None:
    """`unit` is where a test lives, `random` what Hypothesis feeds: `make unit` leaves those to `make test`."""
    if UNIT in item.path.parents:
        item.add_marker("unit")
    if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
        item.add_marker("random")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [
        name for name in LAB_BINARIES if shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None
    ]
    if missing:
        skip = pytest.mark.skip(reason=f"the lab needs {', '.join(missing)}")
        for item in items:
            if item.get_closest_marker("lab"):
                item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI a test that is skipped although that machine could run it is a failed test."""
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if not any(words in reason for words in CANNOT_RUN):
            report.outcome = "failed"
            report.longrepr = f"skipped where every test can run: {reason}"
    return report
