"""What the kernels know of the parts of a block."""

import pytest
import torch
from torch import nn

from bntt.nn import BNTT, LIF, TAB, TDBN, Neuron
from bntt.nn.fuse import NotKnown, check_neuron, check_norm, layout_of, pool_of, synapse_of
from tests.nn.networks import conv, linear


def test_a_norm_that_looks_ahead_trains_fused_on_all_steps_only():
    reason = "tdBN takes its training statistics over all steps, and the call does not have all"
    with pytest.raises(NotKnown, match=reason):
        check_norm(TDBN(8, 4), range(2), 8, whole=False)
    check_norm(TDBN(8, 4).eval(), range(2), 8, whole=False)
    check_norm(TAB(8, 4), range(1, 3), 8, whole=False)
    with pytest.raises(NotKnown, match="its norm takes 4 steps of 8 channels"):
        check_norm(BNTT(8, 4), range(5), 8)


def test_pools_of_whole_windows():
    average, largest, out = pool_of(nn.Sequential(nn.AvgPool2d((2, 3)), nn.Flatten()), (8, 6, 7), False)
    assert (average, largest) == ((2, 3), (1, 1))
    assert (out.shape, out.memory) == ((8 * 3 * 2,), (3, 2, 8))
    average, largest, out = pool_of(nn.MaxPool2d(2), (8, 7, 7), False)
    assert (average, largest, out.shape) == ((1, 1), (2, 2), (8, 3, 3))


@pytest.mark.parametrize(
    "pool",
    [
        nn.AvgPool2d(3, stride=2),
        nn.MaxPool2d(3, stride=2),
        nn.MaxPool2d(2, padding=1),
        nn.MaxPool2d(2, dilation=2),
        nn.MaxPool2d(2, ceil_mode=True),
        nn.MaxPool2d(2, return_indices=True),
        nn.Sequential(nn.AvgPool2d(2), nn.MaxPool2d(2)),
    ],
)
def test_a_pool_on_other_places_is_named(pool):
    with pytest.raises(NotKnown, match="which is no average or maximum over whole windows"):
        pool_of(pool, (8, 9, 9), False)


def test_weights_and_neurons():
    layout = layout_of(torch.zeros(4, 2, 3, 6, 7))
    assert synapse_of(conv(3, 8, 3, stride=2), layout)[2] == (2, 3, 8)
    with pytest.raises(NotKnown, match="its input does not fit, or is not flat"):
        synapse_of(linear(126, 5), layout)
    lif = LIF(0.9)
    lif.neuron = Neuron(surrogate=torch.sigmoid)
    with pytest.raises(NotKnown, match="its surrogate is a custom one"):
        check_neuron(lif.neuron, range(4), 8, "cpu")


@pytest.mark.parametrize("pool", [nn.AvgPool2d(4), nn.MaxPool2d(4)])
def test_a_window_larger_than_the_image_is_named_by_its_size(pool):
    with pytest.raises(NotKnown, match="its pooling window has 4x4 places on an image of 2x2"):
        pool_of(pool, (8, 2, 2), False)
