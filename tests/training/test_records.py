"""What is told is told once: records do not change after the fact."""

import dataclasses

import pytest

from bntt.training import EpochRecord, StepRecord


def test_records_are_frozen():
    step = StepRecord(epoch=0, step=1, loss=0.5, correct=3, samples=4, lr=0.1, seen=8)
    assert step.jumped == ()
    for record in (step, EpochRecord(0, 0.5, 0.75, 20, 0.1)):
        with pytest.raises(dataclasses.FrozenInstanceError):
            record.epoch = 2
