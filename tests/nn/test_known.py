"""What the kernels know of modules."""

import torch
from torch import nn

from bntt.nn import BNTT, LIF, NORMS, TAB, Compute, SpikingBlock
from bntt.nn.known import fuse, fused_norms, layout_of


def test_which_norms_are_fused():
    found = fused_norms()
    assert found == dict.fromkeys(NORMS, "fused in training and evaluation")


def test_a_norm_that_pools_over_time_trains_fused_on_all_steps_only():
    block = SpikingBlock(nn.utils.skip_init(nn.Linear, 3, 8), TAB(8, 4), LIF(0.9))
    layout, device = layout_of(torch.zeros(2, 2, 3)), torch.device("cpu")
    reason = fuse(block, range(2), 2, layout, Compute(), device, whole=False)
    assert reason == "TAB pools its training statistics over time, and the call has not all steps"
    assert fuse(block.eval(), range(2), 2, layout, Compute(), device, whole=False).layer.mean.shape == (2, 8)


def test_a_block_is_read_as_a_layer_and_where_its_output_lies():
    convolution = nn.utils.skip_init(nn.Conv2d, 3, 8, 3, padding=1, bias=False)
    block = SpikingBlock(convolution, BNTT(8, 4), LIF(0.9), nn.Sequential(nn.AvgPool2d((2, 3)), nn.Flatten()))
    fused = fuse(block, range(4), 2, layout_of(torch.zeros(4, 2, 3, 6, 7)), Compute(), torch.device("cpu"), whole=True)
    assert fused.layer.window == (2, 3)
    assert (fused.out.shape, fused.out.memory) == ((8 * 3 * 2,), (3, 2, 8))
    assert fused.neurons == 8 * 6 * 7


def test_a_pool_on_other_places_is_named():
    block = SpikingBlock(nn.utils.skip_init(nn.Conv2d, 3, 8, 3), BNTT(8, 4), LIF(0.9), nn.AvgPool2d(3, stride=2))
    reason = fuse(block, range(4), 2, layout_of(torch.zeros(4, 2, 3, 9, 9)), Compute(), torch.device("cpu"), whole=True)
    assert reason == "its pool is AvgPool2d, which is not an average over whole windows"
