"""What the exit measurement declares: one file whatever the split, another record for each sample by itself."""

import math
from dataclasses import replace

import pytest

from bntt.analysis.exit.measurement import EXIT, ExitArguments
from bntt.analysis.exit.result import ExitResult
from bntt.analysis.measurement import ArgumentError, Facts, draws_of
from bntt.analysis.result import checked_arguments

FACTS = Facts("vgg9", "bntt", "poisson", 25, False, 5, True)


def test_files_are_those_of_one_choice_or_of_each_sample():
    assert EXIT.stem(ExitArguments(split="validation")) == "exit"
    assert EXIT.stem(ExitArguments(per_sample=True)) == "exit-per-sample"
    assert EXIT.record_in("exit") is EXIT.record_in("exit-validation") is ExitResult
    assert EXIT.record_in("exit-per-sample").__name__ == "SampleExitResult"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"choose_on": "test"}, "choose on validation"),
        ({"loss": -1.0}, "--loss must be 0 or more"),
        ({"loss": math.nan}, "--loss must be"),
        ({"loss": 100.5}, "--loss must be 100 or less"),
        ({"threshold": -0.1}, "--threshold must be 0 or more"),
        ({"threshold": math.nan}, "--threshold must be"),
        ({"threshold": math.inf}, "--threshold must be"),
        ({"threshold": 0.1, "per_sample": True}, "pass only one of them"),
        ({"draws": 0}, "--draws must be 1 or more"),
    ],
)
def test_what_is_refused(asked, words):
    with pytest.raises(ArgumentError, match=words):
        checked_arguments(ExitArguments, asked)


def test_a_norm_without_a_gamma_for_each_step_is_refused_but_for_each_sample_by_itself():
    alike, each = ExitArguments(), ExitArguments(per_sample=True)
    assert {EXIT.refusal(replace(FACTS, norm=norm), alike) for norm in ("bntt", "bntt-beta", "tab")} == {""}
    assert "--per-sample needs no γ either" in EXIT.refusal(replace(FACTS, norm="bn"), alike)
    assert EXIT.refusal(replace(FACTS, norm="bn"), each) == ""
    assert "no spikes" in EXIT.refusal(replace(FACTS, is_ann=True), each)


def test_draws_are_those_of_the_recipe_or_those_asked_for():
    fixed = Facts("vgg9", "bntt", "direct", 25, False, 1, False)
    assert [draws_of(FACTS, None), draws_of(FACTS, 2), draws_of(fixed, None), draws_of(fixed, 1)] == [5, 2, 1, 1]
    with pytest.raises(ArgumentError, match="direct coding draws nothing"):
        draws_of(fixed, 2)
