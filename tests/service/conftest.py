"""Everything in this folder starts the real service, broker and front, on the node of a lab; nothing touches the machine's."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(__file__.rpartition("/")[0]):
            item.add_marker(pytest.mark.lab)
