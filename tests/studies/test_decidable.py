"""What a plan says of every claim before its runs."""

from math import sqrt

from bntt.studies.claims import smallest_difference
from bntt.studies.plan import decidable, plan_study
from bntt.studies.study_file import parse_study
from tests.studies.kept import STUDY, study

CLAIM = STUDY["claims"][0]


def lines(**changed):
    one = parse_study(study(**changed), "s")
    return list(decidable(one, plan_study(one, "small")))


def at(seeds):
    return {"small": {**STUDY["settings"]["small"], "seeds": list(range(seeds))}}


def spread(value):
    return [{"key": "acc", "metric": "accuracy", "spread": value}, *STUDY["table"][1:]]


def test_each_claim_has_the_difference_that_its_starts_decide():
    head, one, two = lines(settings=at(6), table=spread(0.8), claims=[CLAIM, {**CLAIM, "says": "again"}])
    value = smallest_difference(0.8 * sqrt(2), 6, 0.05 / 2)
    assert head == (
        "s: what its starts can decide, in 80% of studies, "
        "by Holm's rule 0 tests of the paper's claims, 2 of questions of our own:"
    )
    assert one == f"  1. BNTT wins: 6 starts, {value:.2g} points of acc (spread 0.8)"
    assert two.startswith("  2. again: 6 starts, ")
    ours = lines(settings=at(6), table=spread(0.8), claims=[CLAIM, {**CLAIM, "quotation": "It is."}])
    alone = smallest_difference(0.8 * sqrt(2), 6)
    assert all(f"{alone:.2g} points" in one for one in ours[1:])


def test_few_starts_show_and_do_not_test():
    assert lines(settings=at(2), table=spread(0.8))[1].startswith(
        "  1. BNTT wins: 2 starts, shown, not tested; by itself 13 points of acc"
    )
    alike = {key: CLAIM[key] for key in ("says", "run", "than", "of")} | {"rule": "equivalent", "margin": 1.0}
    head, one, better = lines(settings=at(5), table=spread(0.8), claims=[alike, CLAIM])
    assert one == "  1. BNTT wins: 5 starts of 6 that the rule asks for, shown, not tested: it decides nothing"
    assert head.endswith("0 tests of the paper's claims, 1 of questions of our own:")
    assert f"{smallest_difference(0.8 * sqrt(2), 5):.2g} points" in better
    assert lines(settings=at(1))[1] == "  1. BNTT wins: 1 start, shown, not tested: it decides nothing"


def test_without_a_spread_it_says_which_is_missing():
    assert lines(settings=at(5))[1] == "  1. BNTT wins: 5 starts, no spread is stated for acc"


def test_runs_are_compared_in_the_seeds_they_share():
    runs = [STUDY["runs"][0], {**STUDY["runs"][1], "small": {"seeds": [5, 6, 7, 8, 9, 10]}}]
    head, one = lines(settings=at(6), runs=runs, table=spread(0.8))
    assert one == "  1. BNTT wins: 1 start, shown, not tested: it decides nothing"
    assert head.endswith("0 tests of the paper's claims, 0 of questions of our own:")
    runs[1]["small"] = {"seeds": [6]}
    assert lines(settings=at(6), runs=runs, table=spread(0.8))[1].endswith("share no seed: it decides nothing")
