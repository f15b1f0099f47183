"""The table of faults names tests that there are."""

import ast
from pathlib import Path

import pytest

from tests.lab.fixing.faults import FAULTS

LAB = Path(__file__).parents[3] / "lab"
WANTED = [*(f"C{number}" for number in range(1, 12)), *(f"W{number}" for number in range(1, 16))]


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def test_each_fault_has_a_row():
    assert list(FAULTS) == WANTED


@pytest.mark.parametrize("fault", WANTED)
def test_what_stands_for_it_exists(fault):
    cases = set().union(*map(functions, (LAB / "fixing" / "cases").glob("*.py")))
    for name in FAULTS[fault]:
        file, _, function = name.rpartition("::")
        if name.startswith("test_") or file:
            assert function in functions(LAB.parents[1] / file if file else LAB / "test_fix.py"), name
        else:
            assert f"case_{name}" in cases, name
