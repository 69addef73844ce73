"""Counted operations: by hand on one network, and against recorded spikes on all kinds of others."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import bntt
from bntt.analysis import evaluate
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.energy import WeightOperations
from bntt.analysis.energy.operations import count_operations
from bntt.nn import LIF, DirectEncoder, NoNorm, PoissonEncoder, Readout, SpikingBlock, SpikingNetwork
from tests.kernels import choose, needs_kernels
from tests.nn.networks import FORMS, conv, linear, residual, small

T, IMAGES = 5, 7
LABELS = torch.arange(IMAGES) % 4


def weights(additions: float, macs: float) -> WeightOperations:
    return WeightOperations(additions=additions, macs=macs)


def test_one_network_by_hand():
    """One 1x1 image held still at 1, so that every number can be followed.

    conv1 has 2 channels, kernel 3, padding 1, weights 1, on an image of 2x2: every place meets 4 places of the kernel
    (those that stay inside), so each neuron of 2x4 is driven by 4 ones = 4 > θ, and fires at every step (leak 1, soft
    reset). Input: 4 pixels x 2 channels x 4 = 32 operations a step, and of an ANN.

    An average over 2x2 makes one value of 4/4 = 1 a channel: 4 spikes, 1 value, 2 channels. fc1 has 3 neurons:
    2 x 4 x 3 = 24 operations by spike, 2 x 1 x 3 = 6 by value, 6 of an ANN. Its weights are 0.6, 0.4 and 0 for both
    channels: drives 1.2, 0.8, 0. With θ = 1: the first neuron's membrane before the reset is 1.2, 1.4, 1.6: spikes
    1 1 1; the second's 0.8, 1.6, 1.4 (0.8 + 0.6): 0 1 1; the third's 0. So 1, 2, 2 spikes, of which each meets the
    readout's 2 weights: 2, 4, 4.
    """
    one, two = conv(1, 2, 3, padding=1, bias=False), linear(2, 3)
    with torch.no_grad():
        one.weight.fill_(1.0)
        two.weight.copy_(torch.tensor([[0.6, 0.6], [0.4, 0.4], [0.0, 0.0]]))
    pool = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    blocks = {"conv1": SpikingBlock(one, NoNorm(), LIF(1.0), pool), "fc1": SpikingBlock(two, NoNorm(), LIF(1.0))}
    last = linear(3, 2)
    nn.init.zeros_(last.weight)
    model = bntt.SpikingClassifier(DirectEncoder(3), SpikingNetwork(blocks, Readout(last)))
    found = count_operations(model, [(torch.full((4, 1, 2, 2), 1.0), torch.zeros(4, dtype=torch.int64))])
    conv1, fc1, readout = found.layers.values()
    assert (conv1.arrives, fc1.arrives, readout.arrives) == ("spikes", "counts", "spikes")  # ones are as good as spikes
    assert conv1.events.tolist() == conv1.active.tolist() == [32, 32, 32]
    assert (fc1.events.tolist(), fc1.active.tolist()) == ([24, 24, 24], [6, 6, 6])
    assert readout.events.tolist() == readout.active.tolist() == [2, 4, 4]
    assert [layer.dense for layer in found.layers.values()] == [32, 6, 6]
    assert (conv1.spikes.tolist(), fc1.spikes.tolist()) == ([8, 8, 8], [1, 2, 2])
    assert found.synaptic() == weights(3 * 32 + 3 * 24 + 10, 0)
    assert found.synaptic(price="values") == weights(3 * 32 + 10, 3 * 6)
    assert found.synaptic(2, "values") == weights(2 * 32 + 6, 2 * 6)
    assert (found.dense, found.spikes(), found.spikes(1), found.num_steps) == (44, 29, 9, 3)
    # conv1: no norm, leak 1: current and threshold 2 + of 8 neurons, and a reset each; ANN: ReLU
    assert conv1.update_additions.tolist() == [24, 24, 24]
    assert (conv1.update_multiplications.tolist(), conv1.ann_updates) == ([0, 0, 0], 8)
    assert found.accuracy.correct == ((4, 4, 4),)


def grouped(padding: str | tuple[int, int] = (1, 0), overlaps: bool = False) -> SpikingNetwork:
    """Strides, paddings, dilation, groups, largest-of and average, on images of 11 by 9; fused, or as kernels do not
    know it."""
    rng = torch.Generator().manual_seed(5)
    layers = {
        "conv1": (conv(2, 8, 3, stride=2, padding=2, bias=False), nn.MaxPool2d(2)),
        "conv2": (
            conv(8, 12, (3, 1), padding=padding, groups=4, bias=False),
            nn.AvgPool2d((2, 1), 1 if overlaps else None),
        ),
        "conv3": (conv(12, 9, 2, dilation=(1, 2), padding=1, groups=3, bias=True), nn.MaxPool2d((1, 2))),
    }
    blocks: dict[str, nn.Module] = {
        name: SpikingBlock(synapse, NoNorm(), LIF(0.9, 0.4), pool) for name, (synapse, pool) in layers.items()
    }
    net = SpikingNetwork(blocks, Readout(nn.Sequential(nn.Flatten(), linear(27 if overlaps else 18, 4))))
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=rng) * 0.9)
    return net


NETWORKS: dict[str, Any] = {
    "plain": small,
    "grouped": grouped,
    "odd": lambda: grouped("same", True),
    **{form: lambda f=form: residual(f) for form in FORMS},
}
WORTHS = {
    "plain": {"conv2": 4, "fc1": 4},
    "grouped": {"conv3": 2},
    "odd": {"conv3": 2},
    "spikes": {"readout": 9},
    "currents": {"wider.e": None, "readout": 9},
    "before": {"readout": 9},
}
"""Where not 1: how many spikes of an average are worth 1; None: real numbers."""


def model_of(name: str, direct: bool) -> tuple[bntt.SpikingClassifier, Tensor]:
    size = (11, 9) if name in ("grouped", "odd") else (11, 11)
    images = torch.rand(IMAGES, 2, *size, generator=torch.Generator().manual_seed(1))
    net, normal = NETWORKS[name](), {"mean": [0.5, 0.4], "std": [0.4, 0.5]}
    encoder = DirectEncoder(T, **normal) if direct else PoissonEncoder(T, **normal)
    return bntt.SpikingClassifier(encoder, net).eval(), images


def recorded(model: bntt.SpikingClassifier, images: Tensor) -> dict[str, list[Tensor]]:
    """What came to every convolution and fully connected layer, ``[T, B, ...]``, of a plain network."""
    seen: dict[str, list[Tensor]] = {}
    modules = {layer.synapse: name for name, layer in model.network.layers.items()} | {model.network.readout: "readout"}
    for module, name in modules.items():
        for part in module.modules() if module is not None else ():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.register_forward_pre_hook(
                    lambda module, args, name=name: seen.setdefault(name, []).append(args[0].detach().double())
                )
    index = torch.arange(IMAGES)
    with torch.no_grad():
        model.advance(images, steps=T, seed=3, index=index, draw=FIRST_DRAW)
    return {name: torch.cat(parts).unflatten(0, (T, IMAGES)) for name, parts in seen.items()}


def operations(layer: nn.Conv2d | nn.Linear, values: Tensor) -> Tensor:
    """Through weights of 1: every value is added up once for each weight that it meets, ``[T]`` per image."""
    ones = torch.ones_like(layer.weight, dtype=torch.float64)
    flat = values.flatten(0, 1)
    if isinstance(layer, nn.Linear):
        out = F.linear(flat, ones)
    else:
        out = F.conv2d(flat, ones, None, layer.stride, layer.padding, layer.dilation, layer.groups)
    return out.unflatten(0, (T, IMAGES)).flatten(1).sum(1) / IMAGES


@needs_kernels
@pytest.mark.parametrize(
    ("name", "how", "direct"),
    [
        ("plain", "cpu", False),
        ("plain", "reference", True),
        ("grouped", "cpu", True),
        ("grouped", "float64", False),
        ("odd", "cpu", False),
        ("spikes", "reference", False),
        ("currents", "cpu", True),
        ("before", "float64", True),
    ],
)
def test_every_operation_is_counted(name, how, direct):
    """Real spikes, through weights of 1; in parts of a batch, fused and plain."""
    model, images = model_of(name, direct)
    if how == "float64":
        model, images = model.double(), images.double()
    else:
        choose(model.network, backend="auto" if name == "odd" else how)
    if how == "cpu":
        assert bool(model.network.plan((T, 4, *images.shape[1:])).reason) is (name == "odd")
    plain = copy.deepcopy(model)
    choose(plain.network, backend="reference")
    batches = [(images[:4], LABELS[:4]), (images[4:], LABELS[4:])]
    found, arrived = count_operations(model, batches, seed=3), recorded(plain, images)
    parts = {name: layer.synapse for name, layer in plain.network.layers.items()} | {"readout": plain.network.readout}
    for layer, values in arrived.items():
        part = next(part for part in parts[layer].modules() if isinstance(part, nn.Conv2d | nn.Linear))
        counted, per = found.layers[layer], WORTHS[name].get(layer, 1)
        first = layer == next(iter(arrived))
        dense = operations(part, torch.ones_like(values))[0]
        assert counted.dense == pytest.approx(float(dense), rel=1e-9), layer
        assert torch.allclose(counted.active, operations(part, (values != 0).double())), layer
        if per is None or (first and direct):
            assert counted.arrives == "analog", layer
            assert not counted.events.any(), layer
            continue
        counts = (values * per).abs()
        assert torch.allclose(counts, counts.round(), atol=1e-5), layer
        assert torch.allclose(counted.events, operations(part, counts.round())), layer
        single = per == 1 and counts.max() <= 1
        assert counted.arrives == ("spikes" if single else "counts"), layer
        assert counted.events.sum() > 0 or layer in ("readout", "fc1"), layer
        assert bool((counted.events >= counted.active).all()), layer
    assert set(found.layers) == {*plain.network.layers, "readout"}


def test_an_exit_needs_no_pass_of_its_own():
    """What a pass does that is stopped after three steps is what the whole one did in its first three."""
    model, images = model_of("plain", direct=False)
    whole = count_operations(model, [(images, LABELS)], seed=3)
    model.encoder.num_steps = 3
    stopped = count_operations(model, [(images, LABELS)], seed=3)
    for price in ("spikes", "values"):
        assert stopped.synaptic(price=price) == whole.synaptic(3, price)
        assert whole.synaptic(3, price) != whole.synaptic(price=price)
    assert stopped.spikes() == whole.spikes(3)
    assert stopped.accuracy.correct[0] == whole.accuracy.correct[0][:3]
    assert stopped.dense == whole.dense
    for steps in (0, 6, -1):
        for ask in (whole.synaptic, whole.spikes):
            with pytest.raises(ValueError, match="steps"):
                ask(steps)


def test_accuracy_and_spikes_are_those_of_an_evaluation():
    """The same noise, image by image; several draws are averaged."""
    model, images = model_of("plain", direct=False)
    batches, done = [(images[:5], LABELS[:5]), (images[5:], LABELS[5:])], []
    found = count_operations(model, batches, seed=3, draws=2, progress=done.append)
    expected = evaluate(model, batches, seed=3, draws=2)
    assert found.accuracy == expected.accuracy
    assert done == [5, 2, 5, 2]
    for name, counts in expected.activity.spikes.items():
        assert torch.allclose(found.layers[name].spikes, counts.sum(1) / (2 * IMAGES))
        assert found.layers[name].neurons == expected.activity.neurons[name]
    assert count_operations(model, batches, seed=3).synaptic() != found.synaptic()
