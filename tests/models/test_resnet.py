"""Residual networks: their sizes, their forms, and that they run fused with every norm."""

from __future__ import annotations

from itertools import cycle

import pytest
import torch
from torch import nn

from bntt.models import resnet19, resnet20
from bntt.nn import NORMS, CurrentBlock, NeuronBlock, SpikeDropout, SpikingBlock
from tests.kernels import needs_kernels
from tests.rows import each_row

FORMS = ("basic", "sew", "ms")


def weights(net: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(m.weight.shape) for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def test_they_have_nineteen_and_twenty_weight_layers_and_two_shortcuts():
    found = weights(resnet20(num_steps=2, norm="none"))
    assert len([w for w in found if len(w) == 2 or w[2] == 3]) == 20
    net = resnet19(num_steps=2, norm="none")
    found = weights(net)
    assert len([w for w in found if len(w) == 2 or w[2] == 3]) == 19
    assert [w[:2] for w in found if len(w) == 4 and w[2] == 1] == [(256, 128), (512, 256)]
    assert sum(p.numel() for p in net.parameters()) == 12_687_232
    assert [tuple(b.body["conv1"].synapse.stride) for b in list(net.blocks.values())[1:-1]] == [
        (s, s) for s in (1, 1, 1, 2, 1, 1, 2, 1)
    ]


def test_alpha_stands_before_sums_and_nowhere_else():
    net = resnet19(num_steps=2, norm="tdbn", threshold=0.5, width=1 / 16)
    scales = {name: layer.norm.scale for name, layer in net.layers.items() if layer.norm is not None}
    for name, scale in scales.items():
        before_sum = name.endswith(("conv2", "shortcut"))
        assert scale == pytest.approx(0.5 * 2**-0.5 if before_sum else 0.5), name
    assert resnet19(num_steps=2, norm="tdbn", width=1 / 16, alpha_at_sums=1.0).layers["block1.conv2"].norm.scale == 1


def test_the_forms_are_their_papers():
    kinds = {form: resnet20(num_steps=2, residual=form, width=0.25).blocks for form in FORMS}
    parts = {form: [type(part) for part in blocks["block4"].body.values()] for form, blocks in kinds.items()}
    assert parts["basic"] == [SpikingBlock, CurrentBlock]
    assert parts["sew"] == [SpikingBlock, SpikingBlock]
    assert parts["ms"] == [NeuronBlock, CurrentBlock, NeuronBlock, CurrentBlock]
    shortcuts = {form: type(blocks["block4"].shortcut["shortcut"]) for form, blocks in kinds.items()}
    assert shortcuts == {"basic": CurrentBlock, "sew": SpikingBlock, "ms": CurrentBlock}
    assert all(len(blocks["block2"].shortcut) == 0 for blocks in kinds.values())
    assert isinstance(kinds["ms"]["conv1"], CurrentBlock)


@each_row("form, drops, places", [("basic", 10, "conv1"), ("sew", 21, "conv1 conv2 shortcut"), ("ms", 9, "lif2")])
def test_every_form_drops_spikes(form, drops, places):
    net, x = resnet20(num_steps=2, width=0.25, residual=form, dropout=0.5), torch.ones(2, 4, 3, 16, 16)
    found = [name.split(".")[-2] for name, part in net.named_modules() if isinstance(part, SpikeDropout)]
    assert (len(found), {*found}) == (drops, {*places.split()})
    assert not torch.equal(net(x, draw=0), net(x, draw=1))
    for part in net.modules():  # by the batch's statistics: fresh ones leave so deep a network silent
        if isinstance(part, SpikeDropout):
            part.eval()
    whole = net(x, draw=0)
    assert whole.abs().max() > 0
    assert torch.equal(whole, net(x, draw=1))


@needs_kernels
@each_row("form, norm", [*zip(cycle(FORMS), NORMS, strict=False)])
def test_they_run_fused(form, norm):
    net = resnet20(num_steps=3, width=0.25, norm=norm, residual=form, dropout=0.1)
    for training in (True, False):
        assert not net.train(training).plan((3, 2, 3, 20, 24)).reason
    assert resnet19(num_steps=3, width=1 / 16, norm=norm).plan((3, 2, 3, 32, 32)).reason == ""


def test_any_image_size():
    assert resnet20(num_steps=2, width=0.25).eval()(torch.ones(2, 1, 3, 13, 21)).shape == (1, 10)
