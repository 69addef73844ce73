"""The architectures, layer by layer, as their papers have them, and that they run fused with every norm."""

from __future__ import annotations

from itertools import cycle, product

import pytest
import torch
from torch import nn

from bntt.analysis.energy.operations import plan_layers
from bntt.engine.compute import Compute
from bntt.models import compact, dvs_cnn, resnet19, resnet20, vgg6, vgg9, vgg11
from bntt.nn import NORMS, CurrentBlock, NeuronBlock, SpikeDropout, SpikingBlock
from tests.grids import every_value
from tests.kernels import needs_kernels
from tests.rows import each_row


def plan(net):
    """``(weight shape, pool)`` of every hidden layer."""
    rows = []
    for block in net.blocks.values():
        pools = [type(m).__name__ for m in block.pool.modules() if "Pool" in type(m).__name__]
        rows.append((tuple(block.synapse.weight.shape), *pools))
    return rows


def counts(net, num_steps):
    gammas = sum(block.norm.gamma.numel() for block in net.blocks.values())
    return sum(p.numel() for p in net.parameters()) - gammas, gammas / num_steps


def test_no_layer_has_a_bias_and_the_output_no_norm():
    names = [name for name, _ in vgg6(num_steps=1).named_parameters()]
    assert not any("bias" in name or "beta" in name for name in names)
    assert [name for name in names if "readout" in name] == ["readout.synapse.weight"]


def test_weights_start_xavier_uniform_with_gain_two():
    weight = vgg9(num_steps=1).blocks["conv6"].synapse.weight
    bound = 2 * (6 / (9 * 256 + 9 * 256)) ** 0.5
    assert weight.abs().max() <= bound
    assert weight.abs().max() > 0.99 * bound
    assert abs(weight.std() - bound / 3**0.5) < 0.01 * bound


@each_row("size, features", [(42, 10 * 10 * 24), (48, 12 * 12 * 24), (7, 24), (4, 24)])
def test_a_pooling_leaves_an_odd_last_row_out(size, features):
    net = dvs_cnn(num_steps=2, width=1 / 16, image_size=size)
    assert net.blocks["fc1"].synapse.weight.shape == (64, features)
    assert net.eval()(torch.ones(2, 1, 2, size, size)).shape == (1, 10)


@needs_kernels
@every_value(norm=["bntt", "bn", "none"], events=["fixed", "never"])
def test_counts_above_one_and_odd_poolings_are_the_same_on_the_kernels(norm, events):
    """Up to the first spike that falls the other way: on few steps and samples none does."""
    x = torch.poisson(torch.full((3, 4, 2, 14, 14), 0.7), generator=torch.Generator().manual_seed(0))
    assert x.max() > 2
    found = []
    for compute in (Compute("reference"), Compute("cpu", events=events)):
        net = dvs_cnn(num_steps=3, width=1 / 16, image_size=14, norm=norm)
        with torch.no_grad():
            for weights in net.parameters():  # without a norm else hardly a neuron fires, and 0 is compared with 0
                weights.mul_(2 if norm == "none" else 1)
        net.compute = compute
        logits = net(x)
        logits.square().sum().backward()
        found.append((logits.detach(), [p.grad for p in net.parameters()]))
    (plain, gradients), (fused, others) = found
    assert torch.allclose(plain, fused, atol=1e-4)
    assert all(one.abs().max() > 0 for one in gradients)
    for one, other in zip(gradients, others, strict=True):
        assert torch.allclose(one, other, atol=1e-3 * float(one.abs().max()) + 1e-6)


def test_its_shapes_and_its_work_are_those_of_the_docstring():
    net = compact(num_steps=2)
    found = plan_layers(net, (3, 32, 32), None)
    sizes = {"conv1": (32, 32), "conv2": (64, 16), "conv3": (128, 8), "pair3.after": (128, 8), "pair4.after": (256, 4)}
    assert {name: found[name].out for name in sizes} == {name: (c, side, side) for name, (c, side) in sizes.items()}
    assert [found[name].into.shape for name in ("conv2", "conv4", "readout")] == [(32, 16, 16), (128, 4, 4), (256,)]
    macs = sum(one.weights.weight.numel() * one.out[-1] ** 2 for one in found.values() if one.weights and one.out[1:])
    assert round(macs / 1e6) == 53
    assert sum(p.numel() for p in compact(num_steps=1, norm="none").parameters()) == 1_865_056
    for build, size in ((compact, (13, 9)), (resnet20, (13, 21))):
        assert build(width=0.25, num_steps=2).eval()(torch.ones(2, 1, 3, *size)).shape == (1, 10)


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


LAYERS = {
    "vgg9": [
        ((64, 3, 3, 3),),
        ((64, 64, 3, 3), "AvgPool2d"),
        ((128, 64, 3, 3),),
        ((128, 128, 3, 3), "AvgPool2d"),
        ((256, 128, 3, 3),),
        ((256, 256, 3, 3),),
        ((256, 256, 3, 3), "AvgPool2d"),
        ((1024, 4096),),
    ],
    "vgg11": [
        ((64, 3, 3, 3), "AvgPool2d"),
        ((128, 64, 3, 3), "AvgPool2d"),
        ((256, 128, 3, 3),),
        ((256, 256, 3, 3), "AvgPool2d"),
        ((512, 256, 3, 3),),
        ((512, 512, 3, 3), "AvgPool2d"),
        ((512, 512, 3, 3),),
        ((512, 512, 3, 3), "AdaptiveAvgPool2d"),
        ((4096, 512),),
    ],
    "dvs_cnn": [
        ((128, 2, 3, 3),),
        ((128, 128, 3, 3), "AvgPool2d"),
        ((384, 128, 3, 3),),
        ((384, 384, 3, 3), "AvgPool2d"),
        ((1024, 38400),),
        ((512, 1024),),
    ],
}


@each_row(
    "name, net, weights, gammas",
    [
        ("vgg9", vgg9(num_classes=10, num_steps=2), 5_938_880, 2_176),
        ("vgg11", vgg11(num_classes=100, num_steps=2), 11_724_480, 6_848),
        ("dvs_cnn", dvs_cnn(num_steps=2), 41_770_240, 2_560),
    ],
)
def test_layers_are_as_released_or_published(name, net, weights, gammas):
    assert plan(net) == LAYERS[name]
    convolutions = sum(len(row[0]) == 4 for row in LAYERS[name])
    names = [
        *(f"conv{i + 1}" for i in range(convolutions)),
        *(f"fc{i + 1}" for i in range(len(net.blocks) - convolutions)),
    ]
    assert list(net.blocks) == names
    assert counts(net, 2) == (weights, gammas)


def test_vgg9_has_as_many_neurons_as_released_at_every_place():
    trace = vgg9(num_steps=1).eval().trace(torch.zeros(1, 1, 3, 32, 32))
    assert list(trace.neurons.values()) == [65536, 65536, 32768, 32768, 16384, 16384, 16384, 1024]
    assert round(counts(vgg11(num_classes=200, num_steps=1, image_size=64), 1)[0] / 1e6, 2) == 12.13


@needs_kernels
@each_row("form, norm", [*zip(cycle(FORMS), NORMS, strict=False)])
def test_they_run_fused_with_every_norm_and_have_ann_twins(form, norm):
    net, twin = compact(width=0.25, norm=norm), compact(width=0.25, norm=norm, neuron="relu", num_steps=1)
    others = (
        resnet20(num_steps=2, width=0.25, norm=norm, residual=form, dropout=0.1),
        resnet19(num_steps=2, width=1 / 16, norm=norm),
    )
    for one, training in product((net, *others), (True, False)):
        assert not one.train(training).plan((2, 2, 3, 20, 24)).reason
    assert {n: p.shape[1:] for n, p in net.named_parameters()} == {n: p.shape[1:] for n, p in twin.named_parameters()}
    x = torch.rand(1, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    twin(x).square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in twin.parameters())
