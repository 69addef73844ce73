"""Rules over the starts of one run, each by a case worked out by hand, and all claims together."""

import pytest

from bntt.analysis.accuracy import Difference
from bntt.studies.claims import (
    AtLeast,
    Better,
    ClaimRecord,
    Equivalent,
    Findings,
    PeaksLater,
    RisesAndFalls,
    SavesSteps,
    could_see,
    judged,
    together,
)
from tests.rows import each_row


def numbers(**columns):
    return {("a", column.replace("_", "-")): dict(enumerate(values)) for column, values in columns.items()}


CASES = {
    "at-least": (AtLeast(says="x", rule="at-least", run="a", of="n", value=5.0), [5.2, 5.3, 5.25], [4.0, 4.1, 4.05]),
    "at-most": (AtLeast(says="x", rule="at-most", run="a", of="n", value=5.0), [4.0, 4.1, 4.05], [6.0, 6.1, 6.05]),
    "peaks-later": (PeaksLater(says="x", rule="peaks-later", run="a", of="n"), [0.9, 0.85, 0.8], [0.1, 0.2, 0.15]),
}


@pytest.mark.parametrize("name", CASES)
def test_the_interval_of_the_mean_decides(name):
    claim, good, bad = CASES[name]
    assert claim.judge(Findings(numbers(n=good))).verdict == "holds"
    assert claim.judge(Findings(numbers(n=bad))).verdict == "does not hold"
    assert claim.judge(Findings(numbers(n=[good[0], bad[0]]))).verdict == "not decided"
    assert claim.judge(Findings(numbers(n=good[:1]))).verdict == "not decided", "one start decides nothing"
    assert claim.judge(Findings({})).verdict == "not run"
    assert claim.uses() == (["a"], ["n"])
    assert "by the 95 % interval of the mean over starts" in claim.in_words()


def test_what_only_rises_has_no_peak():
    """As γ and spikes at a rate at which γ hardly decays."""
    claim = PeaksLater(says="x", rule="peaks-later", run="a", of="n", last="end")
    for last, answer in (([40.0, 42.0, 41.0], "holds"), ([99.0, 100.0, 98.0], "does not hold")):
        assert claim.judge(Findings(numbers(n=[0.9, 0.85, 0.8], end=last))).verdict == answer
    assert "and the last step (end) has at most 75 % of it" in claim.in_words()


def test_the_interval_is_students():
    """10, 11, 12: mean 11, sd 1, t of two degrees 4.3027: 11 ± 2.484. At least 8.5 holds, at least 8.6 is open."""
    found = numbers(n=[10.0, 11.0, 12.0])
    for value, answer in ((8.5, "holds"), (8.6, "not decided"), (13.4, "not decided"), (13.5, "does not hold")):
        assert AtLeast(says="x", rule="at-least", run="a", of="n", value=value).judge(Findings(found)).verdict == answer
    assert AtLeast(says="x", rule="at-least", run="a", of="n", value=11.0).judge(Findings(found)).because == (
        "a: n 11 (8.52 to 13.5); a difference of 3.3 could have been seen; 3 starts (shown, not tested: fewer than 5)"
    )


SAVED, COSTS = [20.0, 24.0, 28.0, 24.0], [0.1, 0.2, 0.15, 0.15]


@each_row(
    ("saved", "lost", "answer"),
    [
        (SAVED, COSTS, "not decided"),  # 24 ± 5.2 reaches below 20
        ([28.0, 32.0, 28.0, 32.0], COSTS, "holds"),
        ([28.0, 32.0, 28.0, 32.0], [0.9, 1.0, 0.95, 1.0], "does not hold"),
        ([8.0, 4.0, 8.0, 4.0], COSTS, "does not hold"),
        ([20.0, 20.0, 20.0, 20.0], COSTS, "not decided"),  # steps are whole: four starts that stop alike say little
        ([28.0, 32.0, 28.0, 32.0], [0.0] * 4, "not decided"),  # nothing lost four times is no interval either
        ([20.0] * 5, [*COSTS, 0.1], "holds"),
        ([100 * (1 - 20 / 25)] * 5, [*COSTS, 0.1], "holds"),  # 19.999999999999996, the paper's own exit
        (SAVED, [], "not run"),
    ],
)
def test_an_exit_must_save_enough_and_cost_little(saved, lost, answer):
    claim = SavesSteps(says="x", rule="saves-steps", run="a")
    assert claim.judge(Findings(numbers(exit_saved=saved, exit_lost=lost))).verdict == answer


def test_the_bound_that_is_missed_says_how_surely_not_the_one_that_is_met():
    """Steps are saved beyond doubt; p of what they cost is that of one bound of two (Bonferroni)."""
    saved, costs = [60.0, 61.0, 60.5, 61.5], [0.9, 1.2, 0.7, 1.0]
    alone = AtLeast(says="x", rule="at-most", run="a", of="exit-lost", value=0.5).judge(
        Findings(numbers(exit_lost=costs))
    )
    both = SavesSteps(says="x", rule="saves-steps", run="a").judge(Findings(numbers(exit_saved=saved, exit_lost=costs)))
    assert both.verdict == alone.verdict == "does not hold"
    assert both.p == pytest.approx(2 * alone.p)


def test_starts_that_agree_are_told_to_leave_it_open():
    claim = AtLeast(says="x", rule="at-least", run="a", of="n", value=1.0)
    assert claim.judge(Findings(numbers(n=[5.0, 5.0]))).because.startswith(
        "a: n 5 (5 to 5); all 2 starts agree, so that nothing says how far another would be; 2 starts"
    )
    assert claim.judge(Findings(numbers(n=[5.0] * 5))).verdict == "holds"


def test_truncation_is_told_beside_an_exit_and_decides_nothing():
    claim = SavesSteps(says="x", rule="saves-steps", run="a", beside=["cut"])
    found = numbers(exit_saved=[40.0, 40.0], exit_lost=[0.0, 0.0], cut=[60.0, 68.0])
    assert "(beside: cut 64 % (13.2 to 115))" in claim.judge(Findings(found, {"cut": "%"})).because
    assert claim.uses() == (["a"], ["exit-saved", "exit-lost", "cut"])


RISES = RisesAndFalls(says="x", rule="rises-and-falls", run="a", first="f", last="l")


@each_row(
    ("first", "last", "answer"),
    [
        ([20.0, 25.0, 22.0], [10.0, 12.0, 11.0], "holds"),
        ([20.0, 25.0, 22.0], [96.0, 97.0, 98.0], "does not hold"),  # a conversion's: it rises, and stays
        ([95.0, 96.0, 97.0], [96.0, 97.0, 98.0], "does not hold"),  # flat
        ([95.0, 96.0, 97.0], [10.0, 12.0, 11.0], "does not hold"),  # it only falls
        ([20.0, 25.0, 22.0], [50.0, 76.0, 60.0], "not decided"),
    ],
)
def test_what_never_falls_or_never_rises_does_not_rise_and_fall(first, last, answer):
    assert RISES.judge(Findings(numbers(f=first, l=last))).verdict == answer


def pairs(one, other):
    return {("a", "acc"): dict(enumerate(one)), ("b", "acc"): dict(enumerate(other))}


ALIKE = Equivalent(says="x", rule="equivalent", of="acc", run="a", than=["b"], margin=1.0)
BASE = [80.0, 81.0, 79.5, 80.5, 80.2, 79.8]


@each_row(
    ("differences", "answer"),
    [
        ([0.1, -0.2, 0.3, -0.1, 0.2, 0.0], "holds"),
        ([1.9, 2.1, 2.0, 2.2, 1.8, 2.0], "does not hold"),
        ([1.5, -1.5, 1.0, -1.2, 1.4, -0.9], "not decided"),
        ([0.1, -0.2, 0.3, -0.1, 0.2], "not decided"),  # five starts are too few to say that two are alike
    ],
)
def test_two_one_sided_tests_decide_equivalence(differences, answer):
    other = BASE[: len(differences)]
    found = ALIKE.judge(Findings(pairs([b + d for b, d in zip(other, differences, strict=True)], other)))
    assert found.verdict == answer
    assert (found.p is None) == (len(differences) < 6), "what cannot decide is no test, and makes no other stricter"


@each_row(
    ("starts", "said"),
    [
        (6, "; within 1 points was asked, and such starts could have shown two as alike within 2 points"),
        (5, "; within 1 points was asked, of 6 starts or more; 5 starts"),
    ],
)
def test_an_open_equivalence_names_the_margin(starts, said):
    """Differences ±1.3: sd 1.42 of six, 1.397 of it in two one-sided tests."""
    values = [1.3 * (-1) ** place for place in range(starts)]
    found = pairs([b + d for b, d in zip(BASE, values, strict=False)], BASE[:starts])
    assert said in ALIKE.judge(Findings(found, {"acc": "%"})).because


def test_starts_that_agree_but_for_rounding_show_no_smallest_difference():
    rounding = (1.0, 1.0 + 2e-16, 1.0 - 1e-16, 1.0, 1.0, 1.0)
    assert could_see(Difference(rounding), "%") == ""
    for values in (rounding, (1.0,) * 6):
        assert ALIKE.could_show(Difference(values), "%") == "; within 1 points was asked"


def test_equivalence_is_the_interval_of_90_percent_within_the_margin():
    """Mean 0.5, sd 0.6 of six: t of five degrees 2.015, 0.5 ± 0.494: inside 1, outside 0.99."""
    shape = [1.0, -1.0, 1.0, -1.0, 1.0, -1.0]  # sd √(6/5)
    values = [0.5 + 0.6 / (6 / 5) ** 0.5 * one for one in shape]
    found = pairs([b + d for b, d in zip(BASE, values, strict=True)], BASE)
    for margin, answer in ((1.0, "holds"), (0.99, "not decided")):
        claim = Equivalent(says="x", rule="equivalent", of="acc", run="a", than=["b"], margin=margin)
        assert claim.judge(Findings(found)).verdict == answer


def test_tests_of_five_starts_stand_or_fall_together():
    """p = 0.02 alone holds; of three such tests Holm asks for 0.0167. Few starts are no test, and do not count."""

    def told(verdict, because, starts, p=None):
        return ClaimRecord(says="s", rule="r", verdict=verdict, because=because, starts=starts, p=p)

    one = told("holds", "x", 5, 0.02)
    assert [v.verdict for v in together([one, told("holds", "y", 3, 0.02), told("holds", "z", 9)])] == ["holds"] * 3
    shown = [told("not decided", "y", 4, 0.9)] * 2
    assert together([one, *shown])[0].verdict == "holds"
    few = together([one, one, told("not decided", "x", 6, 0.8)])
    assert [v.verdict for v in few] == ["not decided"] * 3
    assert few[0].because == "x; holds by itself (p = 0.02), not among 3 tests (Holm)"


def test_the_papers_claims_and_our_questions_are_tested_apart():
    """Each has p = 0.035: it holds alone, and not beside another of its own."""
    ours = AtLeast(says="s", rule="at-least", run="a", of="n", value=0.0)
    papers = ours.model_copy(update={"quotation": "It is."})
    numbers = {("a", "n"): dict(enumerate([0.1, 0.55, 1.0, 1.45, 1.9]))}
    answers = [[row.verdict for row in judged(claims, Findings(numbers))] for claims in ([ours, papers], [ours, ours])]
    assert answers == [["holds"] * 2, ["not decided"] * 2]


def test_p_of_a_pair_is_students():
    """Differences 1, 2, 3: t = 2 / (1 / √3) = 3.464 with two degrees, p = 0.0742 on both sides."""
    better = Better(says="x", rule="better", of="acc", run="a", than=["b"])
    assert better.judge(Findings(pairs([1.0, 2.0, 3.0], [0.0] * 3))).p == pytest.approx(0.0742, abs=1e-4)


def test_judged_says_claim_source_verdict_reason_and_rule():
    row = {"rule": "at-least", "says": "s", "source": "p", "quotation": "q", "paper": "9", "run": "a", "of": "n"}
    claim = AtLeast(**row, value=1.0)
    (row,) = judged([claim], Findings({("a", "n"): {0: 2.0, 1: 2.1}}, {"n": ""}))
    assert (row.says, row.source, row.quotation, row.paper) == ("s", "p", "q", "9")
    assert row.verdict == "holds"
    assert row.because.startswith("a: n 2.05 (1.41 to 2.69)")
    assert row.rule == claim.in_words()
