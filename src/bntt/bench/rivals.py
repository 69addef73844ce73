"""The same networks in other code: the per-time-step loop of most BNTT code, SpikingJelly 2 and snnTorch 1.

The loop is our yardstick, in the manner of the authors' release: time outside, layers inside; NCHW; one BatchNorm
module without shift for every layer and step; spikes and resets by masked assignment; fresh Poisson spikes drawn from
torch's generator inside the loop. The peers are imported when their networks are made, never before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from bntt.nn import NORMS, SpikingNetwork, TemporalNorm

PEER_NORMS = {"spikingjelly": ("bntt", "tdbn", "tebn"), "spikingjelly unbind": ("bntt",), "snntorch": ("bntt",)}
"""The norms that each peer has, for networks without residual blocks."""


class Layer(NamedTuple):
    """One layer of a network of ours."""

    synapse: nn.Module
    norm: TemporalNorm
    leak: float
    pool: nn.Module

    @property
    def is_conv(self) -> bool:
        return isinstance(self.synapse, nn.Conv2d)


def layers_of(network: SpikingNetwork, norms: Sequence[str] = ("bntt",)) -> Iterator[Layer]:
    """Yield the layers that every rival has too: a convolution or a fully connected layer, a temporal norm, neurons.

    Raises:
        ValueError: on another block, or a norm that is none of ``norms``.
    """
    blocks: dict[str, Any] = dict(network.blocks.items())
    for name, block in blocks.items():
        found = type(getattr(block, "norm", block))
        if found not in [NORMS[norm].build for norm in norms]:
            raise ValueError(
                f"block {name!r} has a {found.__name__}: this rival has layers with {', '.join(norms)} only"
            )
        yield Layer(block.synapse, block.norm, float(block.lif.neuron.leak), block.pool)


def signed_poisson(images: Tensor) -> Tensor:
    """Draw signed Poisson spikes of one step, as released."""
    return torch.mul(torch.le(torch.rand_like(images) * 2.0, torch.abs(images)).float(), torch.sign(images))


def step_norms(norm: TemporalNorm, *, conv: bool) -> list[nn.Module]:
    """Make one BatchNorm without shift for every step."""
    kind = nn.BatchNorm2d if conv else nn.BatchNorm1d
    options: dict[str, Any] = {"eps": norm.eps, "momentum": norm.momentum, "device": norm.gamma.device}
    made = [kind(norm.channels, **options) for _ in range(norm.num_steps)]
    _fill(made, norm)
    return list(made)


def _fill(norms: Any, ours: TemporalNorm) -> None:
    with torch.no_grad():
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
    """The loop with the weights, γ and running statistics of a network of ours.

    Args:
        network: blocks of convolution or fully connected layers with BNTT, fire after, soft reset, θ = 1.
        draw: ``(images, t)`` → spikes of step t; None draws signed Poisson spikes, as released.
    """

    def __init__(self, network: SpikingNetwork, draw: Callable[[Tensor, int], Tensor] | None = None) -> None:
        super().__init__()
        self.draw = draw or (lambda images, t: signed_poisson(images))
        self.num_steps, layers = network.num_steps or 1, list(layers_of(network))
        self.synapses = nn.ModuleList(layer.synapse for layer in layers)
        self.norms = nn.ModuleList(nn.ModuleList(step_norms(one.norm, conv=one.is_conv)) for one in layers)
        self.pools, self.leaks = nn.ModuleList(layer.pool for layer in layers), [layer.leak for layer in layers]
        self.readout = network.readout.get_submodule("synapse")

    def forward(self, images: Tensor) -> Tensor:
        membranes: list[Tensor | None] = [None] * len(self.synapses)
        voltage: Tensor | float = 0.0
        for t in range(self.num_steps):
            x = self.draw(images, t)
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
        assert isinstance(voltage, Tensor)
        return voltage / self.num_steps


class _Triangle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, above: Tensor) -> Tensor:
        ctx.save_for_backward(above)
        return (above > 0).to(above.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (above,) = ctx.saved_tensors
        return grad * 0.3 * torch.clamp(1 - above.abs(), min=0)


class Unbound(nn.Module):
    """The per-step list of norms that users write, over ``x.unbind(0)``: indexing ``x[t]`` would be quadratic in T."""

    def __init__(self, norms: list[nn.Module]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([norm(step) for norm, step in zip(self.norms, x.unbind(0), strict=True)])


def _layer_of(layer: Any, norm: TemporalNorm, conv: bool) -> nn.Module:
    """Return SpikingJelly's own layer for BNTT, tdBN or TEBN."""
    options, dims = {"eps": norm.eps, "momentum": norm.momentum}, "2d" if conv else "1d"
    made: Any
    if norm.method.name == "BNTT":
        made = getattr(layer, f"BatchNormThroughTime{dims}")(norm.num_steps, norm.channels, step_mode="m", **options)
        _fill(made.bn_list, norm)
        return cast(nn.Module, made)
    if norm.method.name == "tdBN":
        made = inner = getattr(layer, f"ThresholdDependentBatchNorm{dims}")(norm.scale, 1.0, norm.channels, **options)
    else:
        made = getattr(layer, f"TemporalEffectiveBatchNorm{dims}")(norm.num_steps, norm.channels, **options)
        inner = made.bn if hasattr(made, "bn") else made
    with torch.no_grad():
        inner.weight.copy_(norm.scale * norm.gamma[0])
        inner.bias.copy_(0 if norm.beta is None else norm.beta[0])
        inner.running_mean.copy_(norm.running_mean[0])
        inner.running_var.copy_(norm.running_var[0])
    made.step_mode = "m"
    return cast(nn.Module, made)


class SpikingJelly(nn.Module):
    """Multi-step mode, ``LIFNode(decay_input=False, v_reset=None, detach_reset=True)``, T folded into the batch."""

    def __init__(self, network: SpikingNetwork, spikes: Tensor | None = None, *, unbind: bool = False) -> None:
        super().__init__()
        from spikingjelly.activation_based import functional, layer, neuron, surrogate

        class Triangle(surrogate.SurrogateFunctionBase):  # type: ignore[misc]
            def __init__(self, alpha: float = 1.0, spiking: bool = True) -> None:
                super().__init__()

            @staticmethod
            def spiking_function(x: Tensor, alpha: float) -> Tensor:
                return _Triangle.apply(x)  # type: ignore[no-any-return, no-untyped-call]

            def forward(self, x: Tensor) -> Tensor:
                return _Triangle.apply(x)  # type: ignore[no-any-return, no-untyped-call]

        self.functional, self.spikes, self.num_steps = functional, spikes, network.num_steps or 1
        parts: list[nn.Module] = []
        node = {"v_threshold": 1.0, "v_reset": None, "detach_reset": True, "decay_input": False, "step_mode": "m"}
        for one in layers_of(network, PEER_NORMS["spikingjelly unbind" if unbind else "spikingjelly"]):
            norms = step_norms(one.norm, conv=one.is_conv) if unbind else None
            parts.append(layer.SeqToANNContainer(one.synapse))
            parts.append(_layer_of(layer, one.norm, one.is_conv) if norms is None else Unbound(norms))
            parts.append(neuron.LIFNode(tau=1 / (1 - one.leak), surrogate_function=Triangle(), **node))
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
        import snntorch  # type: ignore[import-not-found]
        from snntorch import surrogate

        slope = surrogate.custom_surrogate(lambda x, grad, out: grad * 0.3 * torch.clamp(1 - x.abs(), min=0))
        self.num_steps, self.spikes = network.num_steps or 1, spikes
        self.synapses, self.norms, self.neurons, self.pools = (nn.ModuleList() for _ in range(4))
        for one in layers_of(network, PEER_NORMS["snntorch"]):
            kind = snntorch.BatchNormTT2d if one.is_conv else snntorch.BatchNormTT1d
            through = kind(one.norm.channels, one.norm.num_steps, eps=one.norm.eps, momentum=one.norm.momentum)
            _fill(through, one.norm)
            self.synapses.append(one.synapse)
            self.norms.append(through)
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


PEERS: dict[str, Callable[..., nn.Module]] = {
    "spikingjelly": SpikingJelly,
    "spikingjelly unbind": lambda network, spikes=None: SpikingJelly(network, spikes, unbind=True),
    "snntorch": SnnTorch,
}
