"""Rules over the starts of one run: each of the four answers."""

import pytest

from bntt.runs.recipe.schema import RecipeError
from bntt.runs.recipe.toml_table import validate_by_kind
from bntt.studies.claim_rules import RULES, AtLeast, AtMost, PeaksLater, RisesAndFalls, SavesSteps, judged


def numbers(**columns):
    return {("a", column.replace("_", "-")): dict(enumerate(values)) for column, values in columns.items()}


CASES = {
    "at-least": (AtLeast(says="x", rule="at-least", run="a", of="n", value=5.0), [5.0, 6.0], [4.0, 4.9]),
    "at-most": (AtMost(says="x", rule="at-most", run="a", of="n", value=5.0), [5.0, 4.0], [6.0, 5.1]),
    "peaks-later": (PeaksLater(says="x", rule="peaks-later", run="a", of="n"), [0.5, 0.9], [0.4, -1.0]),
    "rises-and-falls": (RisesAndFalls(says="x", rule="rises-and-falls", run="a", of="n"), [75.0, 100.0], [50.0, 0.0]),
}


@pytest.mark.parametrize("name", CASES)
def test_every_start_meets_it_or_none_does(name):
    claim, good, bad = CASES[name]
    assert claim.judge(numbers(n=good), {}).answer == "holds"
    assert claim.judge(numbers(n=bad), {}).answer == "does not hold"
    assert claim.judge(numbers(n=[good[0], bad[0]]), {}).answer == "not decided"
    assert claim.judge(numbers(n=good[:1]), {}).answer == "not decided", "one start decides nothing"
    assert claim.judge({}, {}).answer == "not run"
    assert claim.uses() == (["a"], ["n"])
    assert "in every start; does not hold where in none" in claim.in_words()


def test_an_exit_must_save_enough_and_cost_little():
    claim = SavesSteps(says="x", rule="saves-steps", run="a")
    answers = {
        "holds": numbers(exit_saved=[20.0, 37.5], exit_lost=[0.5, -0.1]),
        "does not hold": numbers(exit_saved=[37.5, 12.5], exit_lost=[0.6, 0.1]),
        "not decided": numbers(exit_saved=[37.5, 12.5], exit_lost=[0.4, 0.1]),
        "not run": numbers(exit_saved=[37.5, 12.5]),
    }
    assert {answer: claim.judge(found, {}).answer for answer, found in answers.items()} == {a: a for a in answers}


def test_numbers_of_every_start_are_told():
    claim = CASES["at-least"][0]
    assert claim.judge(numbers(n=[5.0, 6.0]), {"n": "%"}).because == (
        "a: n 5, 6 %; 2 starts (preliminary: fewer than 5)"
    )


def test_every_rule_goes_by_its_name():
    for name, rule in RULES.items():
        assert rule.model_fields["rule"].annotation.__args__ == (name,)


def test_judged_says_claim_source_verdict_reason_and_rule():
    claim = validate_by_kind(
        RULES, "rule", {"rule": "at-least", "says": "s", "source": "p", "run": "a", "of": "n", "value": 1.0}, "c"
    )
    (row,) = judged([claim], {("a", "n"): {0: 2.0, 1: 3.0}}, {"n": ""})
    assert (row["says"], row["source"]) == ("s", "p")
    assert row["verdict"] == "holds"
    assert row["because"].startswith("a: n 2, 3")
    assert row["rule"] == claim.in_words()


def test_an_unknown_rule_is_an_error():
    with pytest.raises(RecipeError, match="did you mean 'better'"):
        validate_by_kind(RULES, "rule", {"rule": "beter"}, "claims 1")
