"""What every claim has."""

import pytest

from bntt.studies.claims import Better, Equivalent, Findings, NoWorse, Order, with_starts
from tests.rows import each_row


def test_few_starts_are_preliminary():
    assert with_starts("x", 4).endswith("4 starts (shown, not tested: fewer than 5)")
    assert with_starts("x", 5) == "x; 5 starts"
    assert with_starts("x", 1) == "x; 1 start (shown, not tested: fewer than 5)"
    assert with_starts("nothing", 0) == "nothing"


def numbers(**runs):
    return {(run, "acc"): dict(enumerate(values)) for run, values in runs.items()}


def better(**options):
    return Better(says="x", rule="better", of="acc", run="a", than=["b"], **options)


HIGH, LOW, WILD = [90.0, 91.0, 90.5], [85.0, 86.1, 85.4], [95.0, 80.0, 91.0]


@each_row(
    ("runs", "answer"),
    [
        ({"a": HIGH, "b": LOW}, "holds"),
        ({"a": LOW, "b": HIGH}, "does not hold"),
        ({"a": WILD, "b": LOW}, "not decided"),
        ({"a": HIGH[:1], "b": LOW[:1]}, "not decided"),
        ({"a": HIGH}, "not run"),
        ({}, "not run"),
    ],
)
def test_better_has_four_answers(runs, answer):
    assert better().judge(Findings(numbers(**runs), {"acc": "%"})).verdict == answer


def test_less_is_better_where_that_is_said():
    assert better(lower=True).judge(Findings(numbers(a=LOW, b=HIGH))).verdict == "holds"
    assert better(lower=True).judge(Findings(numbers(a=HIGH, b=LOW))).verdict == "does not hold"


def test_a_wanted_difference_must_be_there():
    found = numbers(a=HIGH, b=LOW)  # about 5 points apart
    assert better(by=4.0).judge(Findings(found)).verdict == "holds"
    assert better(by=8.0).judge(Findings(found)).verdict == "does not hold"


def test_three_of_four_starts_must_win():
    """Though the interval is above 0: seven of ten clear wins are P(A > B) = 0.7, below 0.75."""
    for wins, answer in ((7, "not decided"), (8, "holds")):
        some = {"a": [91.0] * wins + [90.0] * (10 - wins), "b": [90.0] * wins + [90.01] * (10 - wins)}
        assert better().judge(Findings(numbers(**some))).verdict == answer


def test_of_several_others_the_worst_answer_counts():
    claim = Better(says="x", rule="better", of="acc", run="a", than=["b", "c"])
    assert claim.judge(Findings(numbers(a=HIGH, b=LOW, c=LOW))).verdict == "holds"
    assert claim.judge(Findings(numbers(a=HIGH, b=LOW, c=[99.0, 99.5, 99.7]))).verdict == "does not hold"
    assert claim.judge(Findings(numbers(a=HIGH, b=LOW))).verdict == "not run"


def test_an_answer_of_one_pair_is_a_test_whether_the_other_was_run_or_not():
    """Bonferroni over both: p of differences -5.1, -5.0, -4.9, -5.2, -4.8 is 1.4e-7, twice."""
    other = [85.0, 85.1, 85.2, 84.9, 85.4]
    found = numbers(a=[80.0 + d for d in (-0.1, 0.1, 0.3, -0.3, 0.6)], b=other)
    verdict = Better(says="x", rule="better", of="acc", run="a", than=["b", "c"]).judge(Findings(found))
    alone = better().judge(Findings(found))
    assert verdict.verdict == alone.verdict == "does not hold"
    assert verdict.p == pytest.approx(2 * alone.p)
    assert Better(says="x", rule="better", of="acc", run="b", than=["a", "c"]).judge(Findings(found)).p is None
    holds = numbers(c=[40.0, 40.1, 40.2, 40.3, 40.1])  # surely below: that says nothing against the claim
    both = Better(says="x", rule="better", of="acc", run="a", than=["b", "c"]).judge(Findings(found | holds))
    assert (both.verdict, both.p) == ("does not hold", pytest.approx(2 * alone.p))


def test_the_pair_with_the_fewest_starts_says_how_many_there_are():
    five = [90.0, 91.0, 90.5, 90.2, 90.7]
    claim = Better(says="x", rule="better", of="acc", run="a", than=["b", "c"])
    found = numbers(a=five, b=[value - 5.1 for value in five], c=LOW[:2])
    assert claim.judge(Findings(found)).because.endswith("; 2 starts (shown, not tested: fewer than 5)")


def test_what_is_said_has_difference_interval_and_starts():
    said = better().judge(Findings(numbers(a=HIGH, b=LOW), {"acc": "%"})).because
    assert said == "a − b: +5 points (+4.75 to +5.25), above in 3 of 3; 3 starts (shown, not tested: fewer than 5)"


def test_starts_are_counted_on_the_side_of_the_claim():
    said = better(lower=True).judge(Findings(numbers(a=LOW, b=HIGH))).because
    assert said == "a − b: -5 (-5.25 to -4.75), below in 3 of 3; 3 starts (shown, not tested: fewer than 5)"


def test_a_wanted_difference_is_told_as_it_is_decided():
    """Above 0 in every start, and all of the interval below what is wanted."""
    claim, found = better(by=8.0), numbers(a=HIGH, b=LOW)
    assert claim.judge(Findings(found)).verdict == "does not hold"
    assert "; does not hold where the whole interval lies short of 8 on that side; " in claim.in_words()
    assert "; does not hold where the whole interval is on the other side; " in better().in_words()


@each_row("starts", [2, 4, 5])
def test_few_starts_that_all_differ_by_the_same_decide_nothing(starts):
    """As failed starts or steps of an exit do, which are whole numbers: the interval has no width."""
    found = numbers(a=[90.0 + n / 10 for n in range(starts)], b=[50.0 + n / 10 for n in range(starts)])
    no_worse = {"says": "x", "rule": "no-worse", "of": "acc", "margin": 0.5}
    claims = [
        (better(), "holds"),
        (better(lower=True), "does not hold"),
        (Order(says="x", rule="order", of="acc", runs=["a", "b"]), "holds"),
        (NoWorse(run="a", than=["b"], **no_worse), "holds"),
        (NoWorse(run="b", than=["a"], **no_worse), "does not hold"),
    ]
    for claim, answer in claims:
        assert claim.judge(Findings(found)).verdict == (answer if starts == 5 else "not decided")
    assert better().in_words().endswith("not decided where fewer than 5 starts all differ by the same")


def test_starts_that_do_not_differ_are_no_worse():
    claim = NoWorse(says="x", rule="no-worse", of="acc", run="a", than=["b"], margin=0.5)
    assert claim.judge(Findings(numbers(a=HIGH, b=HIGH))).verdict == "holds"
    assert better().judge(Findings(numbers(a=HIGH, b=HIGH))).verdict == "not decided"


@each_row(
    ("runs", "answer"),
    [
        ({"a": [89.9, 90.1, 90.0], "b": [90.0, 90.1, 90.1]}, "holds"),
        ({"a": LOW, "b": HIGH}, "does not hold"),
        ({"a": WILD, "b": HIGH}, "not decided"),
        ({"b": HIGH}, "not run"),
    ],
)
def test_no_worse_has_four_answers(runs, answer):
    claim = NoWorse(says="x", rule="no-worse", of="acc", run="a", than=["b"], margin=0.5)
    assert claim.judge(Findings(numbers(**runs))).verdict == answer


@each_row(
    ("runs", "answer"),
    [
        ({"a": HIGH, "b": LOW, "c": [80.0, 80.1, 80.3]}, "holds"),
        ({"a": HIGH, "b": LOW, "c": [88.0, 88.1, 88.3]}, "does not hold"),
        ({"a": WILD, "b": LOW, "c": [80.0, 80.1, 80.3]}, "not decided"),
        ({"a": HIGH, "b": LOW}, "not run"),
    ],
)
def test_order_has_four_answers(runs, answer):
    claim = Order(says="x", rule="order", of="acc", runs=["a", "b", "c"])
    assert claim.judge(Findings(numbers(**runs))).verdict == answer


def test_a_run_by_another_name_is_no_rival():
    claim = Better(says="x", rule="better", of="acc", run="a", than=["b", "c"])
    found = numbers(a=HIGH, b=LOW, c=HIGH)
    assert claim.judge(Findings(found)).verdict == "not decided", "as c ties with a"
    verdict = claim.judge(Findings(found, {}, {"c": "a"}))
    assert verdict.verdict == "holds"
    assert "c is a by definition, and no rival; 3 starts" in verdict.because
    alone = Better(says="x", rule="better", of="acc", run="a", than=["c"]).judge(Findings(found, {}, {"c": "a"}))
    assert (alone.verdict, alone.because) == ("not decided", "c is a by definition, and no rival")


def test_two_names_of_one_rival_count_once():
    found = numbers(a=HIGH, b=LOW, c=LOW)
    said = (
        Better(says="x", rule="better", of="acc", run="a", than=["b", "c"])
        .judge(Findings(found, {}, {"c": "b"}))
        .because
    )
    assert said.count("a − ") == 1
    assert "c is b by definition, and counted once" in said
    order = Order(says="x", rule="order", of="acc", runs=["a", "b", "c"])
    assert order.judge(Findings(found)).verdict == "not decided"
    assert order.judge(Findings(found, {}, {"c": "b"})).verdict == "holds"


def test_rules_are_told_in_words_and_say_what_they_look_at():
    assert better().uses() == (["a", "b"], ["acc"])
    assert "at least 75% of the shared starts" in better().in_words()
    assert "a mean of at least 2" in better(by=2.0).in_words()
    assert "below" in better(lower=True).in_words()
    assert Order(says="x", rule="order", of="acc", runs=["a", "b"]).in_words().startswith("a > b in acc")
    told = NoWorse(says="x", rule="no-worse", of="acc", run="a", than=["b"], margin=0.5).in_words()
    assert "at most 0.5 below b in acc" in told


def test_runs_and_columns_are_called_by_their_labels_and_numbers_have_no_exponent():
    found = numbers(a=[31200.0, 30100.0, 30900.0], b=[15000.0, 15300.0, 15100.0])
    told = Findings(found, {}, {}, {"a": "BNTT", "b": "standard BN"}, {"acc": "spikes per image"})
    verdict = better().judge(told)
    assert verdict.because.startswith("BNTT − standard BN: +15,600 (+13,800 to +17,400), above in 3 of 3")
    assert better().in_words(told.run, told.column).startswith("BNTT above standard BN in spikes per image: ")
    (effect,) = verdict.effects
    assert (effect.name, effect.of, effect.starts) == ("BNTT − standard BN", "spikes per image", 3)
    assert effect.low < 15500 < effect.mean < effect.high


@each_row(
    ("claim", "bounds"),
    [
        (better(lower=True, by=2.0), (-2.0,)),
        (NoWorse(says="x", rule="no-worse", of="acc", run="a", than=["b"], margin=0.5), (-0.5,)),
        (Equivalent(says="x", rule="equivalent", of="acc", run="a", than=["b"], margin=1.0), (-1.0, 1.0)),
    ],
)
def test_an_effect_names_what_it_is_held_against(claim, bounds):
    (effect,) = claim.judge(Findings(numbers(a=HIGH, b=LOW), {"acc": "%"})).effects
    assert (effect.bounds, effect.of) == (bounds, "acc, points")
