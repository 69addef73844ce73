"""Every fault ends as expected, and the page in the documents says so word for word."""

import re

from tests.faults import cases

NUMBERS = [*range(1, 14), *range(15, 21), *range(22, 32), 33, 35, 36, 40, 41, *range(44, 49), 66, 94, 95]


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
    assert sorted({row.fault for row in cases.CASES}) == NUMBERS
