"""Every rule by cases worked out by hand, and all claims of a study together."""

from math import sqrt

import pytest

from bntt.studies.claims import Better, Bounds, Closes, Equivalent, Findings, NoWorse, Order, above, holm, judged
from tests.rows import each_row


def runs(**values):
    """Numbers of the column "acc", by run and seed."""
    return {(run, "acc"): dict(enumerate(row)) for run, row in values.items()}


def better(*than, **options):
    return Better(says="x", rule="better", of="acc", run="a", than=[*than] or ["b"], **options)


def bounds(**options):
    return Bounds(says="x", rule="bounds", run="a", **options)


WORDS = {"says": "x", "of": "acc"}
NO_WORSE = NoWorse(rule="no-worse", run="a", than=["b"], margin=0.5, **WORDS)
ALIKE = Equivalent(rule="equivalent", run="a", than=["b"], margin=1.0, **WORDS)
ORDER = Order(rule="order", runs=["a", "b", "c"], **WORDS)
HIGH, LOW, WILD = [90.0, 91.0, 90.5], [85.0, 86.1, 85.4], [95.0, 80.0, 91.0]
LOWEST = [80.0, 80.1, 80.3]


def seven_of_ten(wins):
    return {"a": [91.0] * wins + [90.0] * (10 - wins), "b": [90.0] * wins + [90.01] * (10 - wins)}


def apart(*differences, base=(80.0, 81.0, 79.5, 80.5, 80.2, 79.8)):
    """Two runs that differ by these in each start."""
    return {"a": [one + d for one, d in zip(base, differences, strict=False)], "b": base[: len(differences)]}


@each_row(
    ("claim", "values", "answer"),
    [
        (better(), {"a": HIGH, "b": LOW}, "holds"),
        (better(), {"a": LOW, "b": HIGH}, "does not hold"),
        (better(), {"a": WILD, "b": LOW}, "not decided"),
        (better(), {"a": HIGH[:1], "b": LOW[:1]}, "not decided"),
        (better(), {"a": HIGH}, "not run"),
        (better(), {}, "not run"),
        (better(lower=True), {"a": LOW, "b": HIGH}, "holds"),
        (better(lower=True), {"a": HIGH, "b": LOW}, "does not hold"),
        (better(), seven_of_ten(7), "not decided"),  # though the interval is above 0: P(A > B) = 0.7, below 0.75
        (better(), seven_of_ten(8), "holds"),
        (better(), {"a": HIGH, "b": HIGH}, "not decided"),
        (better("b", "c"), {"a": HIGH, "b": LOW, "c": LOW}, "holds"),
        (better("b", "c"), {"a": HIGH, "b": LOW, "c": [99.0, 99.5, 99.7]}, "does not hold"),
        (better("b", "c"), {"a": HIGH, "b": LOW}, "not run"),
        (NO_WORSE, {"a": [89.9, 90.1, 90.0], "b": [90.0, 90.1, 90.1]}, "holds"),
        (NO_WORSE, {"a": HIGH, "b": HIGH}, "holds"),
        (NO_WORSE, {"a": LOW, "b": HIGH}, "does not hold"),
        (NO_WORSE, {"a": WILD, "b": HIGH}, "not decided"),
        (NO_WORSE, {"b": HIGH}, "not run"),
        (ORDER, {"a": HIGH, "b": LOW, "c": LOWEST}, "holds"),
        (ORDER, {"a": HIGH, "b": LOW, "c": [88.0, 88.1, 88.3]}, "does not hold"),
        (ORDER, {"a": WILD, "b": LOW, "c": LOWEST}, "not decided"),
        (ORDER, {"a": HIGH, "b": LOW}, "not run"),
        (ALIKE, apart(0.1, -0.2, 0.3, -0.1, 0.2, 0.0), "holds"),
        (ALIKE, apart(1.9, 2.1, 2.0, 2.2, 1.8, 2.0), "does not hold"),
        (ALIKE, apart(1.5, -1.5, 1.0, -1.2, 1.4, -0.9), "not decided"),
        (ALIKE, apart(0.1, -0.2, 0.3, -0.1, 0.2), "not decided"),  # five are too few to say that two are alike
    ],
)
def test_pairs_are_compared_start_by_start(claim, values, answer):
    verdict = claim.judge(Findings(runs(**values)))
    assert verdict.verdict == answer
    assert claim is not ALIKE or (verdict.p is None) == (verdict.starts < 6), "what cannot decide is no test"


@each_row("starts", [2, 4, 5])
@each_row(
    ("claim", "answer"),
    [
        (better(), "holds"),
        (Better(rule="better", run="b", than=["a"], **WORDS), "does not hold"),
        (NO_WORSE, "holds"),
        (NoWorse(rule="no-worse", run="b", than=["a"], margin=0.5, **WORDS), "does not hold"),
    ],
)
def test_few_starts_that_all_differ_by_the_same_decide_nothing(starts, claim, answer):
    """As failed starts or steps of an exit do, which are whole numbers: the interval has no width."""
    found = runs(a=[90.0 + n / 10 for n in range(starts)], b=[50.0 + n / 10 for n in range(starts)])
    assert claim.judge(Findings(found)).verdict == (answer if starts == 5 else "not decided")


def test_p_of_several_pairs():
    """Differences 1, 2, 3: t = 2 / (1 / √3) = 3.464 with two degrees, p = 0.0742 on both sides. An answer of one pair
    of two is a test whether the other was run or not, with twice its p (Bonferroni)."""
    assert better().judge(Findings(runs(a=[1.0, 2.0, 3.0], b=[0.0] * 3))).p == pytest.approx(0.0742, abs=1e-4)
    found = runs(**apart(-5.1, -5.0, -4.9, -5.2, -4.8))
    alone, one_missing = better().judge(Findings(found)), better("b", "c").judge(Findings(found))
    assert one_missing.verdict == alone.verdict == "does not hold"
    assert one_missing.p == pytest.approx(2 * alone.p)
    assert Better(rule="better", run="b", than=["a", "c"], **WORDS).judge(Findings(found)).p is None
    both = better("b", "c").judge(Findings(found | runs(c=[40.0, 40.1, 40.2, 40.3, 40.1])))
    assert (both.verdict, both.p) == ("does not hold", pytest.approx(2 * alone.p)), "c says nothing against the claim"


def test_equivalence_is_the_interval_of_90_percent_within_the_margin():
    """Mean 0.5, sd 0.6 of six: t of five degrees 2.015, 0.5 ± 0.494: inside 1, outside 0.99."""
    found = runs(**apart(*(0.5 + 0.6 / (6 / 5) ** 0.5 * one for one in (1, -1, 1, -1, 1, -1))))
    for margin, answer in ((1.0, "holds"), (0.99, "not decided")):
        assert ALIKE.model_copy(update={"margin": margin}).judge(Findings(found)).verdict == answer


@each_row(
    ("claim", "bounds"),
    [
        (better(), (0.0,)),
        (NO_WORSE, (-0.5,)),
        (ALIKE, (-1.0, 1.0)),
        (bounds(at_most={"acc": 3.0}), (3.0,)),
    ],
)
def test_an_effect_has_mean_interval_starts_and_what_it_is_held_against(claim, bounds):
    labels = {"a": "BNTT", "b": "standard BN"}
    verdict = claim.judge(Findings(runs(a=HIGH, b=LOW), {"acc": "%"}, labels, {"acc": "accuracy"}))
    (effect,) = verdict.effects
    assert (effect.bounds, effect.starts) == (bounds, 3)
    assert effect.low < effect.mean < effect.high
    one = claim.rule == "bounds"
    assert (effect.name, effect.of) == ("BNTT", "accuracy, %") if one else ("BNTT − standard BN", "accuracy, points")


@each_row(
    ("claim", "values", "unit", "said"),
    [
        (better(), {"a": HIGH, "b": LOW}, "%", "a − b: +5 points (+4.75 to +5.25), above in 3 of 3; 3 starts (shown, "),
        (better(lower=True), {"a": LOW, "b": HIGH}, "", "a − b: -5 (-5.25 to -4.75), below in 3 of 3; 3 starts (shown"),
        (better("b", "c"), {"a": [*HIGH, 90.2, 90.7], "b": [*LOW, 85.2, 85.8], "c": LOW[:2]}, "", "; 2 starts (shown"),
        (better(), {"a": HIGH[:1], "b": LOW[:1]}, "", "; 1 start (shown, not tested: fewer than 5)"),
        (better(), {"a": [31200.0, 30100.0, 30900.0], "b": [15000.0, 15300.0, 15100.0]}, "", ": +15,600 (+13,800 to +"),
        (
            bounds(at_least={"acc": 11.0}),
            {"a": [10.0, 11.0, 12.0, 11.0, 11.0]},
            "µJ",
            "a: acc 11 µJ (10.1 to 11.9); 5 starts",
        ),
    ],
)
def test_a_reason_has_difference_interval_side_and_the_fewest_starts(claim, values, unit, said):
    assert said in claim.judge(Findings(runs(**values), {"acc": unit})).because


def columns(**values):
    """Numbers of the run "a", by column and seed."""
    return {("a", column): dict(enumerate(row)) for column, row in values.items()}


EXIT = bounds(at_least={"saved": 20.0}, at_most={"lost": 0.5})
SAVED, COSTS = [28.0, 32.0, 28.0, 32.0], [0.1, 0.2, 0.15, 0.15]


@each_row(
    ("claim", "values", "answer"),
    [
        (bounds(at_least={"n": 5.0}), {"n": [5.2, 5.3, 5.25]}, "holds"),
        (bounds(at_least={"n": 5.0}), {"n": [4.0, 4.1, 4.05]}, "does not hold"),
        (bounds(at_least={"n": 5.0}), {"n": [5.2, 4.0]}, "not decided"),
        (bounds(at_least={"n": 5.0}), {"n": [5.2]}, "not decided"),  # one start decides nothing
        (bounds(at_least={"n": 5.0}), {}, "not run"),
        (bounds(at_least={"n": 1.0}), {"n": [5.0, 5.0]}, "not decided"),
        (bounds(at_least={"n": 1.0}), {"n": [5.0] * 5}, "holds"),
        (bounds(at_most={"n": 5.0}), {"n": [4.0, 4.1, 4.05]}, "holds"),
        (bounds(at_most={"n": 5.0}), {"n": [6.0, 6.1, 6.05]}, "does not hold"),
        # 10, 11, 12: mean 11, sd 1, t of two degrees 4.3027: 11 ± 2.484
        (bounds(at_least={"n": 8.5}), {"n": [10.0, 11.0, 12.0]}, "holds"),
        (bounds(at_least={"n": 8.6}), {"n": [10.0, 11.0, 12.0]}, "not decided"),
        (bounds(at_least={"n": 13.4}), {"n": [10.0, 11.0, 12.0]}, "not decided"),
        (bounds(at_least={"n": 13.5}), {"n": [10.0, 11.0, 12.0]}, "does not hold"),
        (EXIT, {"saved": SAVED, "lost": COSTS}, "holds"),
        (EXIT, {"saved": [20.0, 24.0, 28.0, 24.0], "lost": COSTS}, "not decided"),  # 24 ± 5.2 reaches below 20
        (EXIT, {"saved": SAVED, "lost": [0.9, 1.0, 0.95, 1.0]}, "does not hold"),
        (EXIT, {"saved": [8.0, 4.0, 8.0, 4.0], "lost": COSTS}, "does not hold"),
        (EXIT, {"saved": [20.0] * 4, "lost": COSTS}, "not decided"),  # steps are whole: four that agree say little
        (EXIT, {"saved": SAVED, "lost": [0.0] * 4}, "not decided"),  # nothing lost four times is no interval either
        (EXIT, {"saved": [20.0] * 5, "lost": [*COSTS, 0.1]}, "holds"),
        (EXIT, {"saved": [100 * (1 - 20 / 25)] * 5, "lost": [*COSTS, 0.1]}, "holds"),  # 19.999999999999996
        (EXIT, {"saved": SAVED, "lost": []}, "not run"),
    ],
)
def test_the_interval_of_the_mean_is_on_the_right_side_of_every_bound(claim, values, answer):
    assert claim.judge(Findings(columns(**values))).verdict == answer


def test_the_bound_that_is_missed_says_how_surely_not_the_one_that_is_met():
    """Steps are saved beyond doubt; p of what they cost is that of one bound of two (Bonferroni)."""
    found = Findings(columns(saved=[60.0, 61.0, 60.5, 61.5], lost=[0.9, 1.2, 0.7, 1.0]))
    alone, both = bounds(at_most={"lost": 0.5}).judge(found), EXIT.judge(found)
    assert both.verdict == alone.verdict == "does not hold"
    assert both.p == pytest.approx(2 * alone.p)


CLOSES = Closes(rule="closes", run="a", than="b", later="c", later_than="d", **WORDS)


def leads(first, second, base=(80.0, 81.0, 79.0)):
    """Runs whose leads are these in each start."""
    rows = {"a": first, "b": [0.0] * len(first), "c": second, "d": [0.0] * len(second)}
    return runs(**{run: [base[seed % 3] + lead for seed, lead in enumerate(row)] for run, row in rows.items()})


@each_row(
    ("first", "second", "answer"),
    [
        ([3.0, 3.5, 3.2], [1.0, 1.4, 1.3], "holds"),
        ([3.0, 3.5, 3.2], [-1.0, -0.6, -0.7], "holds"),  # it turned round
        ([6.0, 8.0, 10.0, 12.0], [5.1, 6.9, 9.0, 11.0], "holds"),  # each shrinks by about 1, less than they scatter
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
    assert CLOSES.judge(Findings(leads(first, second))).verdict == answer


def test_interval_and_p_of_a_lead_are_students_over_starts_of_all_four():
    """Leads 3, 4, 5 (t = 4 / (1/√3) = 6.93, p = 0.0202) and 2, 1, 3: closed by 1, 3, 2, mean 2, sd 1, 2 ± 2.484,
    t = 3.464, p = 0.0742: the larger p counts. A fourth start that one run lacks is no start."""
    found = leads([3.0, 4.0, 5.0, 9.0], [2.0, 1.0, 3.0, 9.0])
    del found["c", "acc"][3]
    verdict = CLOSES.judge(Findings(found, {"acc": "%"}))
    assert (verdict.starts, verdict.p) == (3, pytest.approx(0.0742, abs=1e-4))
    assert "a − b: +4 points (+1.52 to +6.48), above in 3 of 3; c − d: +2 points" in verdict.because
    assert "closed by: +2 points (-0.484 to +4.48), above in 3 of 3" in verdict.because


def test_a_mean_above_a_bound_by_a_table():
    """t = (2.5706 / √6) √6 with five degrees is 2.5 % above."""
    assert above(1 + 2.5706 / sqrt(6), 1.0, 6, 1.0) == pytest.approx(0.025, abs=1e-5)


def test_holm_stops_at_the_first_that_is_not_decided():
    assert holm([0.01, 0.04, 0.03, 0.005]) == [True, False, False, True], "0.0125, 0.0167, then 0.03 > 0.025"
    assert holm([0.01, 0.011, 0.03, 0.04]) == [True, True, False, False], "0.04 <= 0.05, but behind one that is not"
    assert holm([0.03, 0.001, 0.02]) == [True] * 3, "0.0167, 0.025, 0.05: each level is of the tests that are left"
    assert holm([]) == []


def test_tests_of_five_starts_stand_or_fall_together_the_papers_claims_apart_from_our_questions():
    """Each has p = 0.035, so that it holds alone, and not beside another of its own. Few starts are no test."""
    ours = bounds(at_least={"n": 0.0})
    papers = ours.model_copy(update={"quotation": "It is.", "source": "p", "paper": "9"})
    few = bounds(at_least={"few": 0.0})
    found = Findings(columns(n=[0.1, 0.55, 1.0, 1.45, 1.9], few=[1.0, 1.1, 1.05, 1.0]))
    answers = [[row.verdict for row in judged(claims, found)] for claims in ([ours, papers, few, few], [ours, ours])]
    assert answers == [["holds"] * 4, ["not decided"] * 2]
    assert "holds by itself (p = 0.035), not among 2 tests (Holm)" in judged([ours, ours], found)[0].because
    (row,) = judged([papers], found)
    assert (row.says, row.source, row.quotation, row.paper) == ("x", "p", "It is.", "9")
    assert [row.verdict for row in judged([CLOSES] * 2, Findings(leads(*CLOSE)))] == ["not decided"] * 2
    assert [row.verdict for row in judged([CLOSES], Findings(leads(*CLOSE)))] == ["holds"]


CLOSE = [3.0, 3.5, 3.2, 3.1, 3.3], [2.0, 3.0, 2.9, 1.5, 2.8]
"""Leads with p = 0.03."""


def test_a_claim_names_the_runs_and_columns_that_it_reads():
    assert better("b", "c").uses() == (["a", "b", "a", "c"], ["acc"])
    assert CLOSES.uses() == (["a", "b", "c", "d"], ["acc"])
    assert EXIT.uses() == (["a"], ["saved", "lost"])
