"""Every fault ends as expected, and the page in the documents says so word for word."""

import ast
import re
from pathlib import Path

import pytest

from tests.faults import cases
from tests.faults.elsewhere import CANNOT, ELSEWHERE


def shown() -> list[str]:
    """The outcomes of all cases in their order, as the page has them."""
    rows = cases.TABLE.read_text(encoding="utf-8").split("|---|---|---|\n")[1].split("\n\n")[0]
    return [line.split(" | ", 2)[2].removesuffix(" |") for line in rows.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("part", cases.PARTS, ids=lambda part: part.__name__.rsplit(".", 1)[1])
def test_every_fault_ends_as_expected_and_as_the_page_says(part):
    """Regenerate the page with ``python -m tests.faults.cases``."""
    wrong = []
    for row, on_page in zip(cases.CASES, shown(), strict=True):
        if row in part.CASES:
            found = cases.outcome(row)
            if not re.match(row.expect, found) or cases.cell(found) != on_page:
                wrong.append(f"{row.fault}, {row.what}: {found!r} is not {row.expect!r}, or not on the page")
    assert not wrong, "\n".join(wrong)


def test_the_page_is_made_of_the_cases():
    assert cases.TABLE.read_text(encoding="utf-8") == cases.table(shown())


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
