"""What all tests share: lab tests need namespaces, and where they can run they must not be skipped."""

import os
import shutil
from collections.abc import Generator

import pytest

NO_SKIPS = os.environ.get("KUBEREACH_NO_SKIPS") == "1"
LAB_BINARIES = ("unshare", "nsenter", "ip", "nft", "iptables-legacy-save", "iptables-nft-save")


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
    """In CI a skipped test is a failed test: that machine can run all of them."""
    report = yield
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"skipped where every test can run: {reason}"
    return report
