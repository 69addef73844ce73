"""Small networks that meet every kernel, and what tests of fused runs do with a pair of them."""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

import bntt
from bntt.nn import NORMS
from bntt.nn.blocks import CurrentBlock, NeuronBlock, Readout, Residual, SpikeDropout, SpikingBlock
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms import BNTT, NoNorm, NormMethod, TemporalNorm
from bntt.ops.lif import Neuron
from bntt.ops.pooling import Window
from tests.folding import random_neuron
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


def pair(
    net: SpikingNetwork, backend: str = "cpu", device: str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[SpikingNetwork, SpikingNetwork]:
    """A network, and one of the same weights that computes as plain PyTorch, in float64 if that is to judge."""
    ours, theirs = net.to(device), copy.deepcopy(net).to(device, dtype)
    choose(ours, backend=backend)
    choose(theirs, backend="reference")
    return ours, theirs


def close(a: Tensor | None, b: Tensor | None, tolerance: float = 5e-5) -> bool:
    assert a is not None and b is not None  # noqa: PT018
    return bool((a - b).abs().max() <= tolerance * b.abs().max() + 1e-7)


def loss_of(logits: Tensor) -> Tensor:
    """So that every class has another gradient."""
    return (logits * torch.arange(1.0, logits.shape[-1] + 1, device=logits.device)).square().sum()


def backward(net: SpikingNetwork, x: Tensor, **noise: int) -> Tensor:
    logits = net(x, **noise)
    loss_of(logits).backward()
    return logits


def same_everywhere(
    ours: SpikingNetwork, theirs: SpikingNetwork, tolerance: float = 5e-5, *, all_learn: bool = False
) -> None:
    """Every gradient and every buffer. Of a bias that batch statistics take away again, rounding leaves something."""
    gradients = {name: q.grad for name, q in theirs.named_parameters()}
    assert any(gradient.any() for gradient in gradients.values())
    for name, p in ours.named_parameters():
        beside = gradients[name.replace("synapse.bias", "synapse.weight")] if theirs.training else gradients[name]
        largest = torch.maximum(gradients[name].abs().max(), beside.abs().max())
        assert (p.grad - gradients[name]).abs().max() <= tolerance * largest + 1e-6, name
        assert gradients[name].any() or not all_learn, name
    for (name, p), q in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(p.to(q.dtype), q, rtol=1e-5, atol=1e-6), name


def alike(ours: SpikingNetwork, theirs: SpikingNetwork, x: Tensor, *, all_learn: bool = False, **noise: int) -> None:
    """Two networks on one input: logits, the gradients of the input and of every parameter, and every buffer."""
    inputs = [x.to(next(net.parameters()).dtype, copy=True).requires_grad_() for net in (ours, theirs)]
    ours.zero_grad(), theirs.zero_grad()
    assert close(*(backward(net, one, **noise) for net, one in zip((ours, theirs), inputs, strict=True)))
    assert close(inputs[0].grad, inputs[1].grad)
    same_everywhere(ours, theirs, all_learn=all_learn)


def advanced(
    net: SpikingNetwork, x: Tensor, sizes: Sequence[int] | int, **noise: Any
) -> tuple[Tensor, bntt.nn.NetworkState]:
    """The logits of every step of a sequence that is cut into parts, and the last state."""
    state, logits = None, []
    for part in x.split(sizes):
        some, state = net.advance(part, state, **(noise if state is None else {}))
        logits.append(some)
    return torch.cat(logits), state


def cuts_are_the_whole(make: Callable[[], SpikingNetwork], x: Tensor, cuts: Sequence[list[int]], **noise: Any) -> None:
    """In float64, against all steps in one call: logits of every step, every gradient, and every buffer."""
    results = []
    for sizes in ([len(x)], *cuts):
        net, leaf = make().double(), x.double().requires_grad_()
        logits, _ = advanced(net, leaf, sizes, **noise)
        loss_of(logits[-1]).backward()
        gradients = [leaf.grad, *(p.grad for p in net.parameters())]
        assert all(gradient.any() for gradient in gradients)
        results.append([logits.detach(), *gradients, *net.buffers()])
    for found in results[1:]:
        for ours, theirs in zip(found, results[0], strict=True):
            assert torch.isfinite(theirs).all()
            ours, theirs = ours.double(), theirs.double()
            assert float((ours - theirs).abs().max()) <= 1e-10 * max(1e-2, float(theirs.abs().max()))
    assert torch.allclose(make().double()(x.double(), **noise), results[0][0][-1], rtol=1e-10)


@contextlib.contextmanager
def noting(row: str) -> Iterator[None]:
    """Name a row of a table in what goes wrong with it."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"in the row {row}")
        raise


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


WINDOW = NormMethod("Window", pooling=Window(1), beta=True)


def norm_of(name: str) -> Callable[[int, int], nn.Module]:
    if name == "window":
        return lambda channels, steps: TemporalNorm(channels, steps, WINDOW)
    return lambda channels, steps: NORMS[name](channels, steps, 0.8)


@torch.no_grad()
def unsettled(net: SpikingNetwork) -> SpikingNetwork:
    """With γ of any sign, and 0, and with β and p as they may be."""
    for i, (name, p) in enumerate(net.named_parameters()):
        if "norm" in name:
            p.add_(torch.linspace(-0.2, 0.3, p.numel()).reshape(p.shape) * (1 + i % 3))
        if name.endswith("gamma"):
            p.view(-1)[1::7] *= -1
            p.view(-1)[3::11] = 0.0
    return net


@torch.no_grad()
def leaking(net: SpikingNetwork, each: str, leak: float, **options) -> SpikingNetwork:
    """With neurons whose leak is fixed, or learned by layer or channel."""
    channels = dict[nn.Module, int]()
    for part in net.modules():
        if isinstance(part, LIF):  # which are replaced, with their hooks
            part.register_forward_hook(lambda lif, args, out: channels.update({lif: out[0].shape[2]}))
    net(torch.zeros(net.num_steps or 1, 2, 2, 11, 11))
    for block in [part for part in net.modules() if isinstance(getattr(part, "lif", None), LIF)]:
        many = channels[block.lif] if each == "channel" else None
        block.lif = LIF(leak, 0.6, learn_leak=each != "fixed", channels=many, **options)
        if (logit := block.lif.leak_logit) is not None:
            logit.add_(torch.linspace(-0.5, 1, logit.numel()).reshape(logit.shape))
    return net


def folded(shape: str, steps: int, seed: int = 1, **rules) -> SpikingNetwork:
    """The small network with folded neurons of random tables."""
    net, rng = small(steps, norm=lambda channels, steps: NoNorm()), torch.Generator().manual_seed(seed)
    for block, channels in zip(net.blocks.values(), (21, 40, 18, 33), strict=True):
        block.lif = FoldedLIF(random_neuron(shape, steps, channels, rng, **rules))
    return SpikingNetwork(dict(net.blocks.items()), net.readout).eval()


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
