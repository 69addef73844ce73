"""The same networks in other code: the per-time-step loop of most BNTT code, SpikingJelly 2 and snnTorch 1.

The loop is the yardstick, in the manner of the authors' release: time outside, layers inside; NCHW; one BatchNorm
module without shift for every layer and step; spikes and resets by masked assignment; fresh Poisson spikes drawn from
torch's generator inside the loop. Every class takes a network of ours, whose weights, γ and running statistics it has,
and the spikes ``[T, B, C, H, W]`` to use instead of drawing some.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bntt.nn import NORMS, SpikingNetwork, TemporalNorm

NORMS_OF = {"spikingjelly": ("bntt", "tdbn", "tebn"), "spikingjelly unbind": ("bntt",), "snntorch": ("bntt",)}
"""The norms that each peer has, for networks without residual blocks."""


class Layer(NamedTuple):
    """One layer of a network of ours."""

    synapse: nn.Module
    norm: TemporalNorm
    leak: float
    pool: nn.Module

    @property
    def dims(self) -> str:
        return "2d" if isinstance(self.synapse, nn.Conv2d) else "1d"


def layers_of(network: SpikingNetwork, norms: tuple[str, ...] = ("bntt",)) -> Iterator[Layer]:
    """Yield the layers; a norm or block that the other code lacks is an error, not timed as BNTT."""
    blocks: dict[str, Any] = dict(network.blocks.items())
    for name, block in blocks.items():
        if type(getattr(block, "norm", None)) not in [NORMS[norm].build for norm in norms]:
            raise ValueError(f"block {name!r} has no norm of {', '.join(norms)}")
        yield Layer(block.synapse, block.norm, float(block.lif.neuron.leak), block.pool)


def signed_poisson(images: Tensor) -> Tensor:
    """Draw signed Poisson spikes of one step, as released."""
    return torch.mul(torch.le(torch.rand_like(images) * 2.0, torch.abs(images)).float(), torch.sign(images))


def step_norms(one: Layer) -> list[nn.Module]:
    """Make one BatchNorm without shift for every step."""
    kind = nn.BatchNorm2d if one.dims == "2d" else nn.BatchNorm1d
    options: dict[str, Any] = {"eps": one.norm.eps, "momentum": one.norm.momentum, "device": one.norm.gamma.device}
    made: list[nn.Module] = [kind(one.norm.channels, **options) for _ in range(one.norm.num_steps)]
    fill(made, one.norm)
    return made


@torch.no_grad()
def fill(norms: Any, ours: TemporalNorm) -> None:
    """Give the norms of all steps our γ and running statistics, and no shift."""
    for t, norm in enumerate(norms):
        norm.bias = None
        norm.weight.copy_(ours.gamma[t])
        norm.running_mean.copy_(ours.running_mean[t])
        norm.running_var.copy_(ours.running_var[t])


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, above: Tensor) -> Tensor:
        ctx.save_for_backward(above)
        out = torch.zeros_like(above)
        out[above > 0] = 1.0
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (above,) = ctx.saved_tensors
        return grad * 0.3 * torch.clamp(1.0 - torch.abs(above), min=0)


class PerStepLoop(nn.Module):
    """The loop, for neurons that fire after they integrate, with soft reset and θ = 1."""

    def __init__(self, network: SpikingNetwork, spikes: Tensor | None = None) -> None:
        super().__init__()
        self.num_steps, self.spikes, layers = network.num_steps or 1, spikes, list(layers_of(network))
        self.synapses = nn.ModuleList(layer.synapse for layer in layers)
        self.norms = nn.ModuleList(nn.ModuleList(step_norms(layer)) for layer in layers)
        self.pools, self.leaks = nn.ModuleList(layer.pool for layer in layers), [layer.leak for layer in layers]
        self.readout = network.readout.get_submodule("synapse")

    def forward(self, images: Tensor) -> Tensor:
        membranes: list[Tensor | None] = [None] * len(self.synapses)
        voltage: Any = 0.0
        for t in range(self.num_steps):
            x = signed_poisson(images) if self.spikes is None else self.spikes[t]
            for i, synapse in enumerate(self.synapses):
                drive = self.norms[i][t](synapse(x))  # type: ignore[index]
                membrane = membranes[i]
                integrated = drive if membrane is None else self.leaks[i] * membrane + drive
                above = integrated - 1.0
                reset = torch.zeros_like(above)
                reset[above > 0] = 1.0
                membranes[i] = integrated - reset
                spikes: Tensor = _Spike.apply(above)  # type: ignore[no-untyped-call]
                x = self.pools[i](spikes)
            voltage = voltage + self.readout(x)
        return voltage / self.num_steps  # type: ignore[no-any-return]


class _Triangle(_Spike):
    @staticmethod
    def forward(ctx: Any, above: Tensor) -> Tensor:
        ctx.save_for_backward(above)
        return (above > 0).to(above.dtype)


class Unbound(nn.Module):
    """The per-step list of norms that users write, over ``x.unbind(0)``: indexing ``x[t]`` would be quadratic in T."""

    def __init__(self, norms: list[nn.Module]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([norm(step) for norm, step in zip(self.norms, x.unbind(0), strict=True)])


def _spikingjelly_norm(layer: Any, one: Layer) -> nn.Module:
    """Return SpikingJelly's own layer for BNTT, tdBN or TEBN."""
    made: Any
    norm = one.norm
    options = {"eps": norm.eps, "momentum": norm.momentum}
    if norm.method.name == "BNTT":
        made = getattr(layer, f"BatchNormThroughTime{one.dims}")(
            norm.num_steps, norm.channels, step_mode="m", **options
        )
        fill(made.bn_list, norm)
        return made  # type: ignore[no-any-return]
    if norm.method.name == "tdBN":
        made = inner = getattr(layer, f"ThresholdDependentBatchNorm{one.dims}")(
            norm.scale, 1.0, norm.channels, **options
        )
    else:
        made = getattr(layer, f"TemporalEffectiveBatchNorm{one.dims}")(norm.num_steps, norm.channels, **options)
        inner = made.bn if hasattr(made, "bn") else made
    with torch.no_grad():
        inner.weight.copy_(norm.scale * norm.gamma[0])
        inner.bias.copy_(0 if norm.beta is None else norm.beta[0])
        inner.running_mean.copy_(norm.running_mean[0])
        inner.running_var.copy_(norm.running_var[0])
    made.step_mode = "m"
    return made  # type: ignore[no-any-return]


class SpikingJelly(nn.Module):
    """Multi-step mode, ``LIFNode(decay_input=False, v_reset=None, detach_reset=True)``, T folded into the batch."""

    def __init__(self, network: SpikingNetwork, spikes: Tensor | None = None, *, unbind: bool = False) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron

        self.functional, self.spikes, self.num_steps = functional, spikes, network.num_steps or 1
        parts: list[nn.Module] = []
        node = {"v_threshold": 1.0, "v_reset": None, "detach_reset": True, "decay_input": False, "step_mode": "m"}
        for one in layers_of(network, NORMS_OF["spikingjelly unbind" if unbind else "spikingjelly"]):
            parts.append(layer.SeqToANNContainer(one.synapse))
            parts.append(Unbound(step_norms(one)) if unbind else _spikingjelly_norm(layer, one))
            parts.append(neuron.LIFNode(tau=1 / (1 - one.leak), surrogate_function=_Triangle.apply, **node))
            parts.append(layer.SeqToANNContainer(one.pool))
        parts.append(layer.SeqToANNContainer(network.readout.get_submodule("synapse")))
        self.net = nn.Sequential(*parts)

    def forward(self, images: Tensor) -> Tensor:
        drawn = self.spikes
        x = torch.stack([signed_poisson(images) for _ in range(self.num_steps)]) if drawn is None else drawn
        self.functional.reset_net(self.net)
        return self.net(x).mean(0)  # type: ignore[no-any-return]


class SnnTorch(nn.Module):
    """``Leaky`` and ``BatchNormTT`` in a loop over time, as its tutorials do. Its reset differs from the paper's."""

    def __init__(self, network: SpikingNetwork, spikes: Tensor | None = None) -> None:
        super().__init__()
        import snntorch
        from snntorch import surrogate

        slope = surrogate.custom_surrogate(lambda x, grad, out: grad * 0.3 * torch.clamp(1 - x.abs(), min=0))
        self.num_steps, self.spikes = network.num_steps or 1, spikes
        self.synapses, self.norms, self.neurons, self.pools = (nn.ModuleList() for _ in range(4))
        for one in layers_of(network):
            kind = getattr(snntorch, f"BatchNormTT{one.dims}")
            norm = kind(one.norm.channels, one.norm.num_steps, eps=one.norm.eps, momentum=one.norm.momentum)
            self.synapses.append(one.synapse)
            fill(norm, one.norm)
            self.norms.append(norm)
            self.neurons.append(snntorch.Leaky(beta=one.leak, spike_grad=slope, reset_delay=False))
            self.pools.append(one.pool)
        self.readout = network.readout.get_submodule("synapse")

    def forward(self, images: Tensor) -> Tensor:
        membranes = [neuron.init_leaky() for neuron in self.neurons]  # type: ignore[operator]
        voltage: Any = 0.0
        for t in range(self.num_steps):
            x = signed_poisson(images) if self.spikes is None else self.spikes[t]
            for i, synapse in enumerate(self.synapses):
                x, membranes[i] = self.neurons[i](self.norms[i][t](synapse(x)), membranes[i])  # type: ignore[index]
                x = self.pools[i](x)
            voltage = voltage + self.readout(x)
        return voltage / self.num_steps  # type: ignore[no-any-return]


BASELINES: dict[str, Callable[..., nn.Module]] = {
    "loop": PerStepLoop,
    "spikingjelly": SpikingJelly,
    "spikingjelly unbind": partial(SpikingJelly, unbind=True),
    "snntorch": SnnTorch,
}
