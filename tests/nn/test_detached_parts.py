"""Training in parts of time over ``state.detach()``: every norm that can, against plain PyTorch in float64."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from bntt import Compute
from bntt.nn import (
    BNTT,
    LIF,
    TAB,
    LayerNorm,
    NoNorm,
    NormMethod,
    Readout,
    SpikingBlock,
    SpikingNetwork,
    TemporalNorm,
    Window,
    fire_after,
    fire_before,
    hard_reset,
    soft_reset,
)
from tests.grids import every_value, pairs
from tests.kernels import needs_kernels

pytestmark = needs_kernels
T = 6


def windowed(back: int):
    return lambda channels, steps: TemporalNorm(
        channels, steps, NormMethod("windowed", pooling=Window(back), beta=True)
    )


NORMS = {
    "tab": TAB,
    "window 1": windowed(1),
    "window 3": windowed(3),
    "bntt": BNTT,
    "layer": lambda channels, steps: LayerNorm(channels),
    "none": lambda channels, steps: NoNorm(),
}


def network(norm: str, rng: torch.Generator, **neuron) -> SpikingNetwork:
    """Two convolutions and a fully connected layer, all with a bias."""

    def block(synapse: nn.Module, channels: int, pool: nn.Module | None = None) -> SpikingBlock:
        return SpikingBlock(synapse, NORMS[norm](channels, T), LIF(0.8, 0.7, **neuron), pool)

    synapses = [nn.utils.skip_init(nn.Conv2d, 2, 5, 3, padding=1), nn.utils.skip_init(nn.Conv2d, 5, 4, 3)]
    synapses += [nn.utils.skip_init(nn.Linear, 4, 7), nn.utils.skip_init(nn.Linear, 7, 3)]
    end = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    blocks = [block(synapses[0], 5), block(synapses[1], 4, end), block(synapses[2], 7)]
    net = SpikingNetwork(blocks, Readout(synapses[3]))
    with torch.no_grad():
        for synapse in synapses:
            for tensor in synapse.parameters():
                tensor.copy_(torch.randn(tensor.shape, generator=rng) * 0.5)
    return net


def gradients(net: SpikingNetwork, x: Tensor, cuts: list[int], *, detach: bool) -> dict[str, Tensor]:
    """Of a loss on every step's logits."""
    state, losses = None, []
    for part in x.split(cuts):
        logits, state = net.advance(part, state)
        losses.append((logits * torch.arange(1.0, 4.0, dtype=x.dtype)).square().sum())
        if detach:
            losses.pop().backward()
            state = state.detach()
    if losses:
        torch.stack(losses).sum().backward()
    return {name: parameter.grad for name, parameter in net.named_parameters()}


@every_value(norm=NORMS, cuts=[[2, 2, 2], [1, 5], [3, 1, 1, 1]], recompute=["never", 1])
def test_every_gradient_of_detached_parts(norm, cuts, recompute, rng):
    compare(network(norm, rng), cuts, recompute, rng, detach=True)


@pairs(
    reset=[soft_reset, hard_reset],
    rule=[fire_after, fire_before],
    leaks=[{}, {"learn_leak": True}, {"learn_leak": True, "channels": True}],
)
def test_every_neuron(rule, reset, leaks, rng):
    net = network("tab", rng, rule=rule, reset=reset)
    for block in net.blocks.values():
        channels = block.norm.channels if leaks.get("channels") else None
        options = {"learn_leak": bool(leaks), "channels": channels, "rule": rule, "reset": reset}
        block.lif = LIF(0.8, 0.7, **options)
    compare(net, [2, 3, 1], "never", rng, detach=True)


@pairs(recompute=["never", 2], cuts=[[6], [2, 2, 2]], norm=["tab", "window 1"])
def test_a_bias_cancels_where_the_gradient_flows_through_the_past(norm, cuts, recompute, rng):
    net = network(norm, rng)
    found = compare(net, cuts, recompute, rng, detach=False)
    for name in ("block1", "block2", "block3"):
        largest = found[f"blocks.{name}.synapse.weight"].abs().max()
        assert found[f"blocks.{name}.synapse.bias"].abs().max() <= 1e-5 * largest


def compare(
    net: SpikingNetwork, cuts: list[int], recompute: str | int, rng: torch.Generator, *, detach: bool
) -> dict[str, Tensor]:
    x, wide = torch.randn(T, 5, 2, 6, 6, generator=rng), copy.deepcopy(net).double()
    net.compute, wide.compute = Compute("cpu", recompute=recompute), Compute("reference")
    found, wanted = gradients(net, x, cuts, detach=detach), gradients(wide, x.double(), cuts, detach=detach)
    floor = 1e-3 if detach else 1.0  # a bias that cancels is what rounding leaves of a gradient of the weights' size
    for name, gradient in wanted.items():
        beside = float(wanted[name.replace("bias", "weight")].abs().max())
        largest = max(float(gradient.abs().max()), floor * beside)
        assert float((found[name] - gradient).abs().max()) <= 5e-5 * largest + 1e-7, name
    return found
