"""What the activity measurement declares."""

import pytest

from bntt.analysis.activity.measurement import ACTIVITY, ActivityArguments
from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import checked_arguments


def test_files_of_the_other_split_are_their_own():
    assert ACTIVITY.stem(ActivityArguments()) == "activity"
    assert ACTIVITY.stem(ActivityArguments(split="validation", draws=2)) == "activity-validation"


def test_draws_are_counted_from_1():
    with pytest.raises(ArgumentError, match="--draws must be 1 or more, got 0"):
        checked_arguments(ActivityArguments, {"draws": 0})
