"""What the activity measurement declares."""

import pytest

from bntt.analysis.activity.measurement import ACTIVITY, ActivityArguments
from bntt.analysis.measurement import ArgumentError, Facts
from bntt.analysis.result import checked_arguments


def test_files_of_the_other_split_are_their_own():
    assert ACTIVITY.stem(ActivityArguments()) == "activity"
    assert ACTIVITY.stem(ActivityArguments(split="validation", draws=2)) == "activity-validation"


def test_draws_are_counted_and_need_noise():
    with pytest.raises(ArgumentError, match="--draws must be 1 or more, got 0"):
        checked_arguments(ActivityArguments, {"draws": 0})
    facts = Facts("vgg9", "bntt", "direct", 25, False, 1, False)
    facts.check_draws(1)
    with pytest.raises(ArgumentError, match="--draws 2: direct coding draws nothing"):
        facts.check_draws(2)
