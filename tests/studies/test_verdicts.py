"""Rules by name, and claims with their verdicts as a result has them."""

import pytest

from bntt.runs.recipe.schema import RecipeError
from bntt.runs.recipe.toml_part import by_kind
from bntt.studies.verdicts import RULES, judged


def test_every_rule_goes_by_its_name():
    for name, rule in RULES.items():
        assert rule.model_fields["rule"].annotation.__args__ == (name,)


def test_judged_says_claim_source_verdict_reason_and_rule():
    claim = by_kind(
        RULES, "rule", {"rule": "at-least", "says": "s", "source": "p", "run": "a", "of": "n", "value": 1.0}, "c"
    )
    (row,) = judged([claim], {("a", "n"): {0: 2.0, 1: 3.0}}, {"n": ""})
    assert (row["says"], row["source"]) == ("s", "p")
    assert row["verdict"] == "holds"
    assert row["because"].startswith("a: n 2, 3")
    assert row["rule"] == claim.in_words()


def test_an_unknown_rule_is_an_error():
    with pytest.raises(RecipeError, match="did you mean 'better'"):
        by_kind(RULES, "rule", {"rule": "beter"}, "claims 1")
