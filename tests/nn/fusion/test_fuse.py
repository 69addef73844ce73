"""A block read as nodes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from bntt.engine.compute import Compute
from bntt.engine.graph.layer import Fire, Layer, Mask, MaxPool, Sum
from bntt.nn import BNTT, LIF, BlockState, Call, CurrentBlock, NeuronBlock, Noise, Residual, SpikeDropout, SpikingBlock
from bntt.nn.fuse import FusedBlock, NotKnown, Site, fuse, layout_of
from tests.nn.networks import conv, residual

CALL = Call(noise=Noise(0, 0, torch.arange(2)))
SITE = Site(CALL, range(4), 2, Compute(), torch.device("cpu"))
LAYOUT = layout_of(torch.zeros(4, 2, 3, 6, 7))


def spiking(pool: nn.Module | None = None, dropout: nn.Module | None = None) -> SpikingBlock:
    return SpikingBlock(conv(3, 8, 3, padding=1), BNTT(8, 4), LIF(0.9), pool, dropout)


def kinds(fused: FusedBlock) -> list[tuple[type, tuple[int, ...], int | None, str | None]]:
    return [(type(one.node), one.node.reads, one.unit, one.layer) for one in fused.nodes]


def test_a_block_is_a_layer_and_what_follows_it():
    fused = fuse(spiking(nn.Sequential(nn.AvgPool2d((2, 3)), nn.Flatten())), SITE, LAYOUT)
    assert kinds(fused) == [(Layer, (-1,), 0, "")]
    assert fused.nodes[0].node.window == (2, 3)
    assert (fused.out.shape, fused.out.memory) == ((8 * 3 * 2,), (3, 2, 8))
    assert fused.nodes[0].neurons == 8 * 6 * 7
    fused = fuse(spiking(nn.MaxPool2d(2), SpikeDropout(0.5)), SITE, LAYOUT)
    assert kinds(fused) == [(Layer, (-1,), 0, ""), (MaxPool, (-1,), None, None), (Mask, (-1,), None, None)]
    assert fused.nodes[2].node.draw().shape == (2, 3, 3, 8)
    assert len(fuse(spiking(nn.MaxPool2d(2), SpikeDropout(0.5)).eval(), SITE, LAYOUT).nodes) == 2


def test_a_residual_block_is_a_graph():
    blocks = residual("before", 4).blocks
    layout = layout_of(torch.zeros(4, 2, 6, 6, 6))
    assert kinds(fuse(blocks["same"], SITE, layout)) == [
        (Layer, (-1,), 0, "a"),
        (Layer, (-1,), 1, "b"),
        (Sum, (-1, -3), None, None),
        (Fire, (-1,), 2, "after"),
    ]
    assert kinds(fuse(blocks["wider"], SITE, layout)) == [
        (Layer, (-1,), 0, "a"),
        (Layer, (-1,), 1, "b"),
        (Layer, (-3,), 2, "c"),
        (Sum, (-2, -1), None, None),
        (Fire, (-1,), 3, "after"),
    ]


def test_states_go_in_and_out_by_part(rng):
    fused = fuse(residual("before", 4).blocks["same"], SITE, layout_of(torch.zeros(4, 2, 6, 5, 4)))
    a, after = (torch.rand(2, channels, 5, 4, generator=rng) for channels in (9, 6))
    state = (BlockState(a, None), BlockState(None, None), BlockState(after, None))
    starts = fused.enter(state, 2, 1)
    assert [None if s.membrane is None else tuple(s.membrane.shape) for s in starts] == [
        (2, 5, 4, 9),
        None,
        None,
        (2, 5, 4, 6),
    ]
    again = fused.leave(starts, state)
    assert torch.equal(again[0].membrane, a)
    assert again[1] == BlockState(None, None)
    assert torch.equal(again[2].membrane, after)
    assert all(start.membrane is None for start in fused.enter(None, 2, 0))


def test_places_beyond_32_bits_are_not_fused():
    with pytest.raises(NotKnown, match="its neurons have 2818572288 places in a step, more than 2147483647"):
        fuse(spiking(), replace(SITE, batch=1 << 26), LAYOUT)
    assert isinstance(fuse(spiking(), replace(SITE, batch=1 << 25), LAYOUT), FusedBlock)


class Mine(LIF):
    pass


BODY = {"first": spiking(), "second": CurrentBlock(conv(8, 3, 3, padding=1), BNTT(3, 4))}


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (Residual(BODY, after=NeuronBlock(Mine())), "its 'after': its neurons are Mine, which the kernels do not"),
        (Residual({**BODY, "third": Residual(BODY)}), "its 'third': it is Residual, which the kernels do not support"),
        (Residual({"first": spiking()}), "they must have the same shape"),
        (nn.Identity(), "it is Identity, which the kernels do not support"),
        (spiking(None, type("Own", (SpikeDropout,), {})(0.5)), "its dropout is Own, which the kernels do not support"),
    ],
)
def test_what_is_none_says_which_part(block, reason):
    with pytest.raises(NotKnown, match=reason):
        fuse(block, SITE, LAYOUT)
