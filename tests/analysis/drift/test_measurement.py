"""What the drift measurement declares."""

from dataclasses import replace

from bntt.analysis.drift.measurement import DRIFT, DriftArguments
from bntt.analysis.measurement import Facts

FACTS = Facts("vgg9", "bntt", "poisson", 25, False, 5, True)


def test_files_of_the_other_split_are_their_own():
    assert DRIFT.stem(DriftArguments()) == "drift"
    assert DRIFT.stem(DriftArguments(split="test")) == "drift-test"


def test_networks_without_statistics_are_refused():
    assert DRIFT.refusal(FACTS, DriftArguments()) == ""
    assert "holds no statistics" in DRIFT.refusal(replace(FACTS, norm="layer"), DriftArguments())
