"""What the evaluation declares: the names of its files, and flags that exclude each other."""

import pytest

from bntt.analysis.accuracy.measurement import EVALUATE, EvaluateArguments
from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import checked_arguments


@pytest.mark.parametrize(
    ("asked", "stem"),
    [
        ({}, "evaluation"),
        ({"draws": 9}, "evaluation"),
        ({"split": "validation"}, "evaluation-validation"),
        ({"exit": True}, "evaluation-exit"),
        ({"num_steps": 5}, "evaluation-5-steps-truncate"),
        (
            {"num_steps": 16, "longer": "re-estimate", "split": "validation"},
            "evaluation-validation-16-steps-re-estimate",
        ),
        ({"images": 20, "exit": True}, "evaluation-exit-20-images"),
    ],
)
def test_numbers_of_another_kind_have_files_of_their_own(asked, stem):
    assert EVALUATE.stem(EvaluateArguments(**asked)) == stem
    assert EVALUATE.record_in(stem).__name__ == "EvaluationResult"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"exit": True, "num_steps": 3}, "--exit and --num-steps both say when to stop: pass only one of them"),
        ({"longer": "hold"}, "--longer hold needs a number of steps: --num-steps"),
        ({"draws": 0}, "--draws must be 1 or more, got 0"),
        ({"images": 0}, "--images must be 1 or more, got 0"),
    ],
)
def test_what_is_refused(asked, message):
    with pytest.raises(ArgumentError, match=message):
        checked_arguments(EvaluateArguments, asked)
