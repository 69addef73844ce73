"""The rule on two differences, by cases worked out by hand."""

import pytest

from bntt.studies.claims import Closes, Findings, judged
from tests.rows import each_row

CLAIM = Closes(says="x", rule="closes", of="acc", run="a", than="b", later="c", later_than="d")
OTHER = [80.0, 81.0, 79.0]


def numbers(first, second, base=OTHER):
    """Runs whose leads are these in each start."""
    rows = {"a": first, "b": [0.0] * len(first), "c": second, "d": [0.0] * len(second)}
    return {
        (name, "acc"): {seed: base[seed % 3] + lead for seed, lead in enumerate(leads)} for name, leads in rows.items()
    }


@each_row(
    ("first", "second", "answer"),
    [
        ([3.0, 3.5, 3.2], [1.0, 1.4, 1.3], "holds"),
        ([3.0, 3.5, 3.2], [-1.0, -0.6, -0.7], "holds"),  # it turned round
        ([3.0, 3.5, 3.2], [5.0, 5.4, 5.3], "does not hold"),
        ([3.0, 3.5, 3.2], [3.1, 3.4, 3.2], "not decided"),
        ([3.0, -3.5, 3.2], [1.0, -5.4, 1.3], "not decided"),  # as far apart in each start, and no lead at first
        ([-3.0, -3.5, -3.2], [-5.0, -5.4, -5.3], "not decided"),  # who is behind has no lead that could close
        ([3.0, 3.5, 3.2], [1.0, 1.5, 1.2], "not decided"),  # few starts that all agree have no interval
        ([3.0, 3.0, 3.0], [1.0, 1.4, 1.3], "not decided"),
        ([3.0], [1.0], "not decided"),
        ([3.0, 3.5], [], "not run"),
    ],
)
def test_a_lead_must_be_there_and_shrink(first, second, answer):
    assert CLAIM.judge(Findings(numbers(first, second))).verdict == answer


def test_interval_and_p_are_students_over_starts_of_all_four():
    """Leads 3, 4, 5 (t = 4 / (1/√3) = 6.93, p = 0.0202) and 2, 1, 3: closed by 1, 3, 2, mean 2, sd 1, 2 ± 2.484,
    t = 3.464, p = 0.0742: the larger p counts. A fourth start that one run lacks is no start."""
    found = numbers([3.0, 4.0, 5.0, 9.0], [2.0, 1.0, 3.0, 9.0])
    del found["c", "acc"][3]
    verdict = CLAIM.judge(Findings(found, {"acc": "%"}))
    assert verdict.starts == 3
    assert verdict.p == pytest.approx(0.0742, abs=1e-4)
    assert "a − b: +4 points (+1.52 to +6.48), above in 3 of 3; c − d: +2 points" in verdict.because
    assert "closed by +2 points (-0.484 to +4.48), above in 3 of 3; a difference of 3.3 points" in verdict.because


def test_the_pairing_takes_out_what_belongs_to_a_start():
    """Leads of 6 to 12 points each shrink by about 1: less than they scatter, and seen start by start."""
    assert CLAIM.judge(Findings(numbers([6.0, 8.0, 10.0, 12.0], [5.1, 6.9, 9.0, 11.0]))).verdict == "holds"


def test_where_lower_is_better_the_lead_is_of_the_lower():
    lower = CLAIM.model_copy(update={"lower": True})
    assert lower.judge(Findings(numbers([-3.0, -3.5, -3.2], [-1.0, -1.4, -1.3]))).verdict == "holds"
    assert lower.judge(Findings(numbers([3.0, 3.5, 3.2], [1.0, 1.4, 1.3]))).verdict == "not decided"
    assert "below in 3 of 3; c" in lower.judge(Findings(numbers([-3.0, -3.5, -3.2], [-1.0, -1.4, -1.3]))).because


def test_holm_counts_it_with_the_rest():
    """p = 0.03 holds alone; twice it does not."""
    found = numbers([3.0, 3.5, 3.2, 3.1, 3.3], [2.0, 3.0, 2.9, 1.5, 2.8])
    alone = CLAIM.judge(Findings(found))
    assert (alone.verdict, alone.starts) == ("holds", 5)
    assert 0.025 < alone.p < 0.05
    answers = [[row.verdict for row in judged([CLAIM] * count, Findings(found))] for count in (1, 2)]
    assert answers == [["holds"], ["not decided", "not decided"]]


def test_runs_that_are_one_by_definition_have_no_gap():
    verdict = CLAIM.judge(Findings(numbers([3.0, 3.5], [1.0, 1.4]), {}, {"c": "a"}))
    assert verdict.verdict == "not decided"
    assert "one run by definition" in verdict.because


def test_four_runs_scatter_twice_as_much_as_one():
    """√4 of a spread of 0.5: 1.0, which six starts decide from 1.435 on."""
    assert CLAIM.decides({"acc": 0.5}, 6, 0.05)["acc"] == pytest.approx(1.435, abs=1e-3)
    assert CLAIM.uses() == (["a", "b", "c", "d"], ["acc"])
