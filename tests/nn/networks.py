"""Small networks that meet every kernel, and what tests of fused runs do with a pair of them."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn

import bntt
from bntt.nn import (
    BNTT,
    LIF,
    CurrentBlock,
    Neuron,
    NeuronBlock,
    NoNorm,
    Readout,
    Residual,
    SpikeDropout,
    SpikingBlock,
    SpikingNetwork,
)
from tests.kernels import choose


def conv(*args, **kwargs) -> nn.Conv2d:
    return nn.utils.skip_init(nn.Conv2d, *args, **kwargs)


def linear(*args) -> nn.Linear:
    return nn.utils.skip_init(nn.Linear, *args, bias=False)


def dense(inputs: int, outputs: int, rng: torch.Generator) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=rng))
    return layer


def small(steps: int = 5, norm=BNTT, **neuron) -> SpikingNetwork:
    """Two convolutions with poolings, odd sizes and channel counts, and a hidden layer."""
    torch_weights = torch.Generator().manual_seed(3)

    def block(synapse: nn.Module, channels: int, pool: nn.Module | None) -> SpikingBlock:
        return SpikingBlock(synapse, norm(channels, steps), LIF(**{"leak": 0.9, **neuron}), pool)

    pools = nn.AvgPool2d(2), nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = SpikingNetwork(
        {
            "conv1": block(conv(2, 21, 3, padding=1, bias=False), 21, pools[0]),
            "conv2": block(conv(21, 40, 3, padding=1, bias=True), 40, None),
            "conv3": block(conv(40, 18, 3, stride=2, bias=False), 18, pools[1]),
            "fc1": block(linear(18, 33), 33, None),
        },
        Readout(linear(33, 4)),
    )
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith(("weight", "bias")):
                p.copy_(torch.randn(p.shape, generator=torch_weights) * 0.3)
            if name.endswith("gamma"):
                p.mul_(1.3)
    return net


def spikes_of(steps: int, batch: int, rng: torch.Generator, size: int = 11) -> Tensor:
    return torch.randint(-1, 2, (steps, batch, 2, size, size), generator=rng).float()


def pair(net: SpikingNetwork, backend: str = "cpu", device: str = "cpu") -> tuple[SpikingNetwork, SpikingNetwork]:
    ours, theirs = net.to(device), copy.deepcopy(net).to(device)
    choose(ours, backend=backend)
    choose(theirs, backend="reference")
    return ours, theirs


def close(a: Tensor | None, b: Tensor | None, tolerance: float = 5e-5) -> bool:
    assert a is not None and b is not None  # noqa: PT018
    return bool((a - b).abs().max() <= tolerance * b.abs().max() + 1e-7)


def backward(net: SpikingNetwork, x: Tensor) -> Tensor:
    logits = net(x)
    (logits * torch.arange(1.0, 5.0, device=x.device)).square().sum().backward()
    return logits


OPTIONS = [
    {"rule": rule, "reset": reset, "surrogate": surrogate}
    for rule, reset, surrogate in itertools.product(
        (bntt.nn.fire_after, bntt.nn.fire_before),
        (bntt.nn.soft_reset, bntt.nn.hard_reset),
        (bntt.nn.Triangle(), bntt.nn.ArcTan()),
    )
]


def NoBatchOfOne(channels: int, steps: int):
    """BNTT where a batch of one has many values, none in the fully connected layer."""
    return NoNorm() if channels == 33 else BNTT(channels, steps)


FORMS = ("spikes", "currents", "before")
"""Residual addition of spikes (SEW), of currents (MS), and before the neurons (ResNet-19)."""


def residual(form: str, steps: int = 5, norm=BNTT, dropout: float = 0.0, leak: float = 0.8) -> SpikingNetwork:
    """A stem, a residual block without and one with a shortcut that strides, and what ends them; with a largest-of
    pooling, an average, and dropout in the middle of it all."""
    weights = torch.Generator().manual_seed(3)

    def lif() -> LIF:
        return LIF(leak, 0.7)

    def drop() -> nn.Module | None:
        return SpikeDropout(dropout) if dropout else None

    def current(i: int, o: int, size: int = 3, stride: int = 1) -> CurrentBlock:
        return CurrentBlock(conv(i, o, size, stride=stride, padding=size // 2, bias=False), norm(o, steps))

    def spiking(i: int, o: int, stride: int = 1, pool: nn.Module | None = None, size: int = 3) -> SpikingBlock:
        synapse = conv(i, o, size, stride=stride, padding=size // 2, bias=False)
        return SpikingBlock(synapse, norm(o, steps), lif(), pool, drop())

    blocks: dict[str, nn.Module] = {"pooled": spiking(2, 6, pool=nn.MaxPool2d(2))}
    end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if form == "spikes":
        blocks["same"] = Residual({"a": spiking(6, 9), "b": spiking(9, 6)})
        blocks["wider"] = Residual({"a": spiking(6, 9, 2), "b": spiking(9, 9)}, {"c": spiking(6, 9, 2, size=1)})
        blocks["last"] = spiking(9, 21, pool=end)
    elif form == "currents":
        blocks["stem"] = current(6, 6)
        blocks["same"] = Residual(
            {"a": NeuronBlock(lif(), None, drop()), "b": current(6, 9), "c": NeuronBlock(lif()), "d": current(9, 6)}
        )
        body = {"a": NeuronBlock(lif()), "b": current(6, 9, stride=2), "c": NeuronBlock(lif()), "d": current(9, 21)}
        blocks["wider"] = Residual(body, {"e": current(6, 21, 1, 2)})
        blocks["last"] = NeuronBlock(lif(), end)
    else:
        blocks["same"] = Residual({"a": spiking(6, 9), "b": current(9, 6)}, after=NeuronBlock(lif(), None, drop()))
        body = {"a": spiking(6, 9, 2), "b": current(9, 21)}
        blocks["wider"] = Residual(body, {"c": current(6, 21, 1, 2)}, NeuronBlock(lif(), end))
    net = SpikingNetwork(blocks, Readout(linear(21, 4)))
    with torch.no_grad():
        for name, p in net.named_parameters():
            if name.endswith("weight"):
                p.copy_(torch.randn(p.shape, generator=weights) * 0.4)
            if name.endswith("gamma"):
                p.mul_(1.2)
    return net


def teacher_forced(
    block: nn.Module, x: Tensor, rng: torch.Generator
) -> tuple[list[Tensor], list[tuple[Tensor, Tensor, Tensor]]]:
    """A block on one input, alone: what it gives fused, as a module and as one in float64; and, for one random gradient
    of that, the gradients of its input and of every parameter, each in these three ways."""
    narrow, wide = copy.deepcopy(block), copy.deepcopy(block).double()
    inputs = [x.to(dtype, copy=True).requires_grad_() for dtype in (torch.float32, torch.float32, torch.float64)]
    alone, seen = SpikingNetwork({"block": block}, Readout(nn.Flatten()), compute=bntt.Compute("cpu")), []
    alone.readout.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    alone(inputs[0])
    outputs = [seen[0], narrow(inputs[1])[0], wide(inputs[2])[0]]
    gradient = torch.randn(outputs[0].shape, generator=rng) * 0.1
    for output in outputs:
        output.backward(gradient.to(output.dtype))
    leaves = [inputs, *zip(*(one.parameters() for one in (block, narrow, wide)), strict=True)]
    return outputs, [tuple(leaf.grad for leaf in three) for three in leaves]


class Quiet(Neuron):
    """Neurons of one's own that never fire."""

    def fire(self, potential):
        return 0 * potential


def quiet() -> LIF:
    lif = LIF()
    lif.neuron = Quiet()
    return lif
