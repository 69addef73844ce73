"""Neurons of the runtime in NumPy."""

import numpy as np

from bntt.deploy.description import Neurons
from bntt.deploy.runtime.arrays import fired


def test_a_threshold_beyond_float32_is_one_that_nothing_reaches():
    neurons, drive = Neurons(np.full((1, 1), 0.5), np.array([[1e300], [1.0]])), np.full((2, 1, 1, 1, 1), 2, np.float32)
    with np.errstate(over="ignore"):
        spikes, membrane = fired(neurons, drive, range(2), None)
    assert (spikes.ravel().tolist(), membrane.item(), membrane.dtype) == ([0, 1], 2.0, np.float32)
