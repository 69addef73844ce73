"""Random networks: one to three blocks and a readout, every part with random numbers in it; and tiny ones."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from bntt.nn import NORMS
from bntt.nn.blocks import CurrentBlock, NeuronBlock, Readout, Residual, SpikeDropout, SpikingBlock
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.neurons import LIF, FoldedLIF
from bntt.nn.norms import NoNorm
from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

Value = TypeVar("Value")


class Dice:
    """Draws of one part of one case: what another part draws changes none of them, and no default of PyTorch's does.

    >>> Dice(3, "network").integer(1, 6) == Dice(3, "network").integer(1, 6)
    True
    """

    def __init__(self, case: int, part: str) -> None:
        self._random = random.Random(f"{case} {part}")
        self._generator = torch.Generator("cpu").manual_seed(self._random.getrandbits(62))

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self._random.randint(low, high)

    def chance(self, probability: float) -> bool:
        return self._random.random() < probability

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def pick(self, values: Sequence[Value], weights: Sequence[float] | None = None) -> Value:
        return self._random.choices(values, weights)[0]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self._generator, dtype=torch.float32, device="cpu")

    def like(self, values: Tensor, *shape: int) -> Tensor:
        """Smaller ones, of the type of others."""
        return (self.normal(*shape) * 0.4).to(values.dtype)

    def rand(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self._generator, dtype=torch.float32, device="cpu")


MOST_WORK = 1_500_000
"""Products of a layer in one image and step, so that a case takes milliseconds."""
CLASSES = 3


class Drawn(NamedTuple):
    net: SpikingNetwork
    steps: int
    batch: int
    place: tuple[int, ...]
    """Of one input image: ``(C, H, W)`` or ``(F,)``."""


def draw_network(dice: Dice) -> Drawn:
    """In training mode, or with modes mixed norm by norm."""
    steps, batch = dice.integer(1, 5), dice.pick((1, 2, 3, 4), (1, 2, 4, 4))
    image = dice.chance(0.85)
    place: tuple[int, ...] = (_channels(dice), *(dice.pick((1, 2, 3, 4, 5, 6, 7)) for _ in range(2)))
    if dice.chance(0.12):
        place = (place[0], 1, 1)
    if not image:
        place = (dice.integer(1, 70),)
    shape, blocks = place, {}
    for i in range(dice.pick((1, 2, 3), (3, 4, 2))):
        if len(shape) == 3 and dice.chance(0.15):
            blocks[f"r{i}"], shape = draw_residual(dice, shape, steps)
        blocks[f"b{i}"], shape = _block(dice, shape, steps)
    net = assembled(dice, blocks, shape, dice.chance(0.3))
    for parameter in net.parameters():
        parameter.requires_grad_(not dice.chance(0.06))
    plain = [block for block in net.blocks.values() if isinstance(block, SpikingBlock)]
    for block in plain:  # last of all, so that the other draws of a number are as they always were
        if dice.chance(0.4 if isinstance(block.norm, NoNorm) else 0.02):
            block.lif = _folded(dice, block, steps)
    return Drawn(SpikingNetwork(dict(net.blocks.items()), net.readout), steps, batch, place)


def assembled(dice: Dice, blocks: dict[str, nn.Module], shape: tuple[int, ...], bias: bool) -> SpikingNetwork:
    """The network of some blocks, with random numbers in all of its parts; ``shape`` leaves the last of them."""
    if len(shape) == 3:
        block = list(blocks.values())[-1]
        block.pool = nn.Flatten() if isinstance(block.pool, nn.Identity) else nn.Sequential(block.pool, nn.Flatten())
    net = SpikingNetwork(blocks, Readout(nn.utils.skip_init(nn.Linear, math.prod(shape), CLASSES, bias=bias)))
    randomize(dice, net)
    set_modes(dice, net)
    return net


def _channels(dice: Dice) -> int:
    low, high = dice.pick(((1, 4), (5, 9), (16, 40), (64, 70)), (6, 3, 1, 2))
    return dice.integer(low, high)


def _block(dice: Dice, shape: tuple[int, ...], steps: int) -> tuple[SpikingBlock, tuple[int, ...]]:
    if len(shape) == 3 and dice.chance(0.8):
        synapse, shape = _convolution(dice, shape)
    else:
        flat = len(shape) == 3 and not dice.chance(0.01)
        linear = nn.utils.skip_init(nn.Linear, math.prod(shape), width := _channels(dice), bias=dice.chance(0.4))
        synapse, shape = nn.Sequential(nn.Flatten(), linear) if flat else linear, (width,)
    pool, out = draw_pool(dice, shape) if len(shape) == 3 else (None, shape)
    threshold = dice.uniform(0.3, 1.4)
    name = dice.pick(list(NORMS), [8 if name in ("bntt", "bn", "none") else 1.2 for name in NORMS])
    return SpikingBlock(
        synapse, NORMS[name](shape[0], steps, threshold), neurons(dice, steps, threshold), pool, dropout(dice, 0.05)
    ), out


def _convolution(dice: Dice, shape: tuple[int, ...]) -> tuple[nn.Module, tuple[int, ...]]:
    channels, height, width = shape
    kernel = dice.pick(((3, 3), (1, 1), (dice.integer(1, 5), dice.integer(1, 5))), (4, 2, 4))
    padding = tuple(dice.integer(0, k // 2 if dice.chance(0.7) else k + 1) for k in kernel)
    if (height, width) == (1, 1) and dice.chance(0.5):  # all but a fully connected layer
        kernel, padding = (1, 1), (dice.integer(0, 1), dice.integer(0, 1))
    stride = (1, 1) if dice.chance(0.75) else (dice.integer(1, 3), dice.integer(1, 3))
    dilation = (1, 1) if dice.chance(0.85) else (dice.integer(1, 2), dice.integer(1, 2))
    if not dice.chance(0.01):  # else it may be that no kernel fits
        padding = tuple(
            max(p, (d * (k - 1) + 2 - n) // 2)
            for p, d, k, n in zip(padding, dilation, kernel, (height, width), strict=True)
        )
    out = tuple(
        max(1, (n + 2 * p - d * (k - 1) - 1) // s + 1)
        for n, p, d, k, s in zip((height, width), padding, dilation, kernel, stride, strict=True)
    )
    most = max(1, MOST_WORK // (channels * kernel[0] * kernel[1] * out[0] * out[1]))
    features, groups = min(_channels(dice), most), 1
    if dice.chance(0.12):
        groups = dice.pick([g for g in range(1, channels + 1) if channels % g == 0])
        features = groups * max(1, features // groups)
    synapse = nn.utils.skip_init(
        nn.Conv2d,
        channels,
        features,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=dice.chance(0.4),
        padding_mode="circular" if dice.chance(0.01) and padding[0] <= height and padding[1] <= width else "zeros",
    )
    return synapse, (features, *out)


def draw_pool(dice: Dice, image: tuple[int, ...]) -> tuple[nn.Module | None, tuple[int, ...]]:
    """What follows the spikes, and the shape that leaves it."""
    channels, height, width = image
    kind = dice.pick(("none", "window", "all", "flat", "max"), (5, 5, 1, 1, 1))
    pool, shape = None, image
    if kind == "window":
        window = tuple(dice.integer(1, 3) if dice.chance(0.7) else dice.integer(1, 5) for _ in range(2))
        if not dice.chance(0.02):  # else the window may be larger than the image
            window = min(window[0], height), min(window[1], width)
        pool = nn.AvgPool2d(window, stride=1 if dice.chance(0.04) else None)
        down = 1 if pool.stride == 1 else 0
        shape = (channels, *(n - k + 1 if down else n // k for n, k in zip((height, width), window, strict=True)))
    elif kind == "all":
        pool, shape = nn.AdaptiveAvgPool2d(1), (channels, 1, 1)
    elif kind == "max" and min(height, width) > 1:
        pool, shape = nn.MaxPool2d(2), (channels, height // 2, width // 2)
    if kind == "flat" or dice.chance(0.1):
        pool = nn.Flatten() if pool is None else nn.Sequential(pool, nn.Flatten())
        shape = (math.prod(shape),)
    return pool, tuple(max(1, n) for n in shape)


def _folded(dice: Dice, block: SpikingBlock, steps: int) -> FoldedLIF:
    """Tables of any shape around the block's ordinary neuron, turned in some places."""
    ordinary = block.lif.neuron
    threshold, weight = ordinary.threshold, next(block.synapse.parameters())
    channels = len(weight)

    def table(low: float, high: float) -> torch.Tensor:
        shape = dice.pick(((1, 1), (steps, 1), (1, channels), (steps, channels)), (1, 1, 1, 3))
        return low + (high - low) * dice.rand(*shape)

    turned = table(0, 1) < dice.pick((0.0, 0.3))
    size = table(0.5, 1.5) * threshold * torch.where(turned, -1.0, 1.0)
    return FoldedLIF(
        FoldedNeuron(
            leak=table(-1, 1.2),
            threshold=size,
            amount=table(0.5, 1.5) * threshold if dice.chance(0.7) else None,
            gain=table(0.5, 1.5),
            bias=table(-0.2, 0.4),
            turned=turned,
            slope=table(0.3, 2),
            rule=ordinary.rule,
            reset=ordinary.reset,
            surrogate=ordinary.surrogate,
        )
    )


@torch.no_grad()
def randomize(dice: Dice, net: SpikingNetwork) -> None:
    """No weight, factor or statistic stands at 0 or 1, so that every term of every equation is seen."""
    for name, p in net.named_parameters():
        if name.endswith("weight"):
            fan_in = p[0].numel()
            p.copy_(dice.normal(*p.shape) * dice.pick((0.7, 1.5, 3.0)) / fan_in**0.5)
        elif name.endswith(("bias", "beta")):
            p.copy_(dice.normal(*p.shape) * 0.3)
        elif name.endswith(("gamma", "step_scale")):
            p.copy_(dice.rand(*p.shape) * 1.4 + 0.4)
    for name, buffer in net.named_buffers():
        buffer.copy_(dice.normal(*buffer.shape) * 0.3 if name.endswith("mean") else dice.rand(*buffer.shape) * 2 + 0.2)


def set_modes(dice: Dice, net: SpikingNetwork) -> None:
    mode = dice.pick(("train", "eval", "mixed"), (5, 2, 2))
    net.train(mode != "eval")
    for layer in net.layers.values():
        if mode == "mixed" and layer.norm is not None:
            layer.norm.train(dice.chance(0.5))
        if hasattr(layer.norm, "momentum"):
            layer.norm.momentum = dice.pick((0.1, 0.5, 1.0), (6, 2, 1))


def neurons(dice: Dice, steps: int, threshold: float) -> LIF:
    surrogate = dice.pick(
        (
            Triangle(dice.uniform(0.2, 1)),
            FastSigmoid(dice.uniform(0.5, 10), dice.uniform(0.3, 1)),
            ArcTan(dice.uniform(0.5, 3)),
        )
    )
    learned = dice.chance(0.03)
    leak = dice.uniform(0.1, 0.99) if learned or dice.chance(0.85) else dice.pick((0.0, 1.0))
    return LIF(
        leak,
        threshold,
        learn_leak=learned,
        rule=dice.pick((fire_after, fire_before), (3, 1 if steps > 1 else 0)),  # one step of it never fires
        reset=dice.pick((soft_reset, hard_reset), (2, 1)),
        surrogate=surrogate,
        decay_input=leak < 1 and dice.chance(0.15),
    )


def dropout(dice: Dice, chance: float = 0.2) -> SpikeDropout | None:
    return SpikeDropout(dice.pick((0.1, 0.5, 0.9))) if dice.chance(chance) else None


def draw_residual(dice: Dice, shape: tuple[int, ...], steps: int) -> tuple[Residual, tuple[int, ...]]:
    """For an image ``(C, H, W)``; and what leaves it."""
    channels, height, width = shape
    threshold, name = dice.uniform(0.3, 1.4), dice.pick(list(NORMS))
    stride = dice.pick(((1, 1), (2, 2), (1, 2)), (5, 2, 1))
    out = channels if stride == (1, 1) and dice.chance(0.6) else dice.integer(1, 12)
    changes = stride != (1, 1) or out != channels

    def weights(i: int, o: int, size: int, stride: tuple[int, int] = (1, 1)) -> nn.Conv2d:
        bias = dice.chance(0.2)
        return nn.utils.skip_init(nn.Conv2d, i, o, size, stride=stride, padding=size // 2, bias=bias)

    def current(i: int, o: int, size: int = 3, stride: tuple[int, int] = (1, 1)) -> CurrentBlock:
        return CurrentBlock(weights(i, o, size, stride), NORMS[name](o, steps, threshold))

    def spiking(i: int, o: int, size: int = 3, stride: tuple[int, int] = (1, 1)) -> SpikingBlock:
        lif, synapse = neurons(dice, steps, threshold), weights(i, o, size, stride)
        return SpikingBlock(synapse, NORMS[name](o, steps, threshold), lif, None, dropout(dice))

    def fire() -> NeuronBlock:
        return NeuronBlock(neurons(dice, steps, threshold), None, dropout(dice))

    between, form = dice.integer(1, 9), dice.pick(("spikes", "currents", "before"))
    after = None
    if form == "spikes":
        body = {"a": spiking(channels, between, 3, stride), "b": spiking(between, out)}
        shortcut = {"c": spiking(channels, out, 1, stride)} if changes else None
    elif form == "currents":
        body = {"a": fire(), "b": current(channels, between, 3, stride), "c": fire(), "d": current(between, out)}
        shortcut = {"e": current(channels, out, 1, stride)} if changes else None
    else:
        body = {"a": spiking(channels, between, 3, stride), "b": current(between, out)}
        shortcut, after = {"c": current(channels, out, 1, stride)} if changes else None, fire()
    size = ((n - 1) // s + 1 for n, s in zip((height, width), stride, strict=True))
    return Residual(body, shortcut, after), (out, *size)


def draw_tiled(dice: Dice) -> Drawn:
    """Two or three blocks whose input gradient goes by Winograd: 16 channels times some, few tiles."""
    steps, batch = dice.integer(1, 4), dice.integer(1, 3)
    place = (dice.pick((1, 16)), dice.integer(1, 9), dice.integer(1, 9))
    shape, blocks = place, {}
    for i in range(dice.integer(2, 3)):
        if len(shape) < 3:
            break
        features, threshold = dice.pick((16, 32, 48)), dice.uniform(0.3, 1.4)
        synapse = nn.utils.skip_init(nn.Conv2d, shape[0], features, 3, padding=1, bias=dice.chance(0.4))
        pool, after = draw_pool(dice, (features, *shape[1:]))
        norm = NORMS[dice.pick(list(NORMS))](features, steps, threshold)
        blocks[f"b{i}"], shape = SpikingBlock(synapse, norm, neurons(dice, steps, threshold), pool), after
    return Drawn(assembled(dice, blocks, shape, dice.chance(0.3)), steps, batch, place)


SIDE = 4
AHEAD = ("tdbn", "tebn", "bn-pooled", "bntt-shared-statistics", "bntt-shared-both")
"""Norms that look ahead."""


Weighted = nn.Linear | nn.Conv2d


def weighted(net: SpikingNetwork) -> dict[str, Weighted]:
    """All layers with weights, by name."""
    return {name: one for name, one in net.named_modules() if isinstance(one, Weighted)}


def draw_tiny(
    dice: Dice,
    *,
    biases: float = 0.6,
    norms: tuple[str, ...] = tuple(NORMS),
    dropout: float = 0.1,
    images: float = 0.6,
    fewest: int = 1,
) -> Drawn:
    """One or two blocks and a readout, of so few steps or more."""
    steps, batch = dice.integer(fewest, 4), dice.pick((1, 2, 3), (1, 3, 3))
    place: tuple[int, ...] = (dice.integer(1, 4), SIDE, SIDE) if dice.chance(images) else (dice.integer(2, 40),)
    shape, blocks = place, {}
    for i in range(dice.pick((1, 2))):
        synapse, shape = _weights(dice, shape, bias=dice.chance(biases))
        pool, out = draw_pool(dice, shape) if len(shape) == 3 else (None, shape)
        threshold, norm = dice.uniform(0.3, 1.2), dice.pick(norms)
        lif = neurons(dice, steps, threshold)
        lost = SpikeDropout(dice.pick((0.2, 0.5))) if dice.chance(dropout) else None
        blocks[f"b{i}"] = SpikingBlock(synapse, NORMS[norm](shape[0], steps, threshold), lif, pool, lost)
        shape = out
    return _drawn(dice, blocks, shape, Drawn(None, steps, batch, place), bias=dice.chance(biases))


def draw_parted(dice: Dice) -> Drawn:
    """Of several steps, with a bias in most layers and every norm, TAB most often, which looks back; in training, where
    some refuse to go in parts."""
    apart = (*(name for name in NORMS if name not in AHEAD), "tab", "tab", "tab")
    norms = tuple(NORMS) if dice.chance(0.3) else apart
    drawn = draw_tiny(dice, biases=0.8, norms=norms, fewest=2)
    drawn.net.train()
    return drawn


def draw_streamed(dice: Dice) -> Drawn:
    """Of several steps."""
    return draw_tiny(dice, biases=0.8, fewest=2)


def draw_wet(dice: Dice) -> Drawn:
    """With dropout in most blocks, in training."""
    drawn = draw_tiny(dice, dropout=0.8)
    if dice.chance(0.8):
        drawn.net.train()
    return drawn


def draw_images(dice: Dice) -> Drawn:
    """With a convolution, for what only these have."""
    drawn = draw_tiny(dice, images=1)
    while not any(isinstance(one, nn.Conv2d) for one in drawn.net.modules()):
        drawn = draw_tiny(dice, images=1)
    return drawn


def draw_equal(dice: Dice) -> Drawn:
    """Two or three layers whose weights have one shape."""
    steps, batch, size = dice.integer(2, 4), dice.integer(1, 3), dice.integer(2, 6)
    image = dice.chance(0.5)
    place: tuple[int, ...] = (size, SIDE, SIDE) if image else (size * dice.pick((1, 8)),)
    blocks = {}
    for i in range(dice.pick((2, 3))):
        bias, norm, threshold = dice.chance(0.85), dice.pick(tuple(NORMS)), dice.uniform(0.3, 1.2)
        synapse: nn.Module = nn.utils.skip_init(nn.Linear, place[0], place[0], bias=bias)
        if image:
            synapse = nn.utils.skip_init(nn.Conv2d, size, size, 3, padding=1, bias=bias)
        lif = neurons(dice, steps, threshold)
        blocks[f"b{i}"] = SpikingBlock(synapse, NORMS[norm](place[0], steps, threshold), lif)
    return _drawn(dice, blocks, place, Drawn(None, steps, batch, place), bias=dice.chance(0.5))


def _drawn(dice: Dice, blocks: dict[str, SpikingBlock], shape: tuple[int, ...], drawn: Drawn, *, bias: bool) -> Drawn:
    net = assembled(dice, blocks, shape, bias)
    if dice.chance(0.3):  # statistics that are given leave a constant of a layer in
        net.eval()
    return drawn._replace(net=net)


def _weights(dice: Dice, shape: tuple[int, ...], *, bias: bool) -> tuple[nn.Module, tuple[int, ...]]:
    if len(shape) == 3 and dice.chance(0.75):
        out = dice.pick((dice.integer(1, 8), 32), (9, 1))
        kernel = dice.pick((1, 3, 3)) if min(shape[1:]) > 1 else 1
        synapse = nn.utils.skip_init(nn.Conv2d, shape[0], out, kernel, padding=kernel // 2, bias=bias)
        return synapse, (out, *shape[1:])
    out = dice.pick((dice.integer(1, 20), 40), (5, 1))
    linear = nn.utils.skip_init(nn.Linear, math.prod(shape), out, bias=bias)
    return nn.Sequential(nn.Flatten(), linear) if len(shape) == 3 else linear, (out,)
