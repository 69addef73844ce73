"""The flags that say how recordings become frames."""

import pytest

from bntt.cli.framing import FrameFlags
from bntt.data.errors import DataError
from bntt.data.events.binning import Binning
from bntt.data.events.event_sets import Framing


def test_flags_become_a_framing():
    given = FrameFlags(3, 9, "count", "binary", "saturate", "npz", (60, 80))
    binning = Binning(3, 9, 9, by="count", cells="binary", beyond="saturate")
    assert given.framing("events") == Framing(binning, "npz", (60, 80))
    assert FrameFlags().framing("dvs-cifar10") == Framing(Binning(20, 42, 42))


def test_images_take_none():
    assert FrameFlags().framing("mnist") is None
    with pytest.raises(DataError, match="mnist are images, and --steps, --by are for recordings"):
        FrameFlags(steps=3, by="count").framing("mnist")


def test_numbers_that_cannot_be():
    with pytest.raises(DataError, match="frames of n-mnist: num_steps must be 1 or more, got 0"):
        FrameFlags(steps=0).framing("n-mnist")
