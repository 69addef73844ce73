"""Every fault ends as expected, and the page in the documents says so word for word."""

import ast
import re
from pathlib import Path

import pytest

from tests.faults import cases
from tests.faults.elsewhere import CANNOT, ELSEWHERE


@pytest.mark.slow
def test_every_fault_ends_as_expected_and_as_the_page_says():
    """Regenerate the page with ``python -m tests.faults.cases``."""
    outcomes = [cases.outcome(row) for row in cases.CASES]
    wrong = [
        f"{row.fault}, {row.what}: {found!r} is not {row.expect!r}"
        for row, found in zip(cases.CASES, outcomes, strict=True)
        if not re.match(row.expect, found)
    ]
    assert not wrong, "\n".join(wrong)
    assert cases.TABLE.read_text(encoding="utf-8") == cases.table(outcomes)


def test_no_number_is_left_out():
    """The list has 95."""
    assert {*(row.fault for row in cases.CASES), *ELSEWHERE, *CANNOT} == {*range(1, 96)}
    assert not CANNOT.keys() & {*(row.fault for row in cases.CASES), *ELSEWHERE}


def test_every_test_that_is_named_is_there():
    root = Path(__file__).parents[1]
    for name in sorted({test for rows in ELSEWHERE.values() for test, _ in rows}):
        file, _, function = name.partition("::")
        tree = ast.parse((root / file).read_text(encoding="utf-8"))
        assert function in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}, name
