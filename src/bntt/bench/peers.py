"""The same networks as users of SpikingJelly 2 and snnTorch 1 write them. Opened only where those are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from bntt.nn import LIF, Readout, SpikingBlock, SpikingNetwork, TemporalNorm


def poisson(images: Tensor) -> Tensor:
    """Signed Poisson spikes, as released."""
    return torch.mul(torch.le(torch.rand_like(images) * 2.0, torch.abs(images)).float(), torch.sign(images))


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


def _norms_of(norm: TemporalNorm, conv: bool) -> list[nn.Module]:
    kind = nn.BatchNorm2d if conv else nn.BatchNorm1d
    made = [kind(norm.channels, eps=norm.eps, momentum=norm.momentum) for _ in range(norm.num_steps)]
    _fill(made, norm)
    return list(made)


def _fill(norms: Any, ours: TemporalNorm) -> None:
    with torch.no_grad():
        for t, norm in enumerate(norms):
            norm.bias = None
            norm.weight.copy_(ours.gamma[t])
            norm.running_mean.copy_(ours.running_mean[t])
            norm.running_var.copy_(ours.running_var[t])


def _layer_of(layer: Any, norm: TemporalNorm, conv: bool) -> nn.Module:
    """SpikingJelly's own layer for BNTT, tdBN or TEBN.

    Raises:
        ValueError: for another norm.
    """
    options, dims = {"eps": norm.eps, "momentum": norm.momentum}, "2d" if conv else "1d"
    made: Any
    if norm.method.name == "BNTT":
        made = getattr(layer, f"BatchNormThroughTime{dims}")(norm.num_steps, norm.channels, step_mode="m", **options)
        _fill(made.bn_list, norm)
        return cast(nn.Module, made)
    if norm.method.name == "tdBN":
        made = inner = getattr(layer, f"ThresholdDependentBatchNorm{dims}")(norm.scale, 1.0, norm.channels, **options)
    elif norm.method.name == "TEBN":
        made = getattr(layer, f"TemporalEffectiveBatchNorm{dims}")(norm.num_steps, norm.channels, **options)
        inner = made.bn if hasattr(made, "bn") else made
    else:
        raise ValueError(f"SpikingJelly has no layer for {norm.method.name}")
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
        from spikingjelly.activation_based import functional, layer, neuron, surrogate  # type: ignore[import-not-found]

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
        for block in network.blocks.values():
            assert isinstance(block, SpikingBlock)
            norm, conv = block.norm, isinstance(block.synapse, nn.Conv2d)
            assert isinstance(norm, TemporalNorm)
            assert isinstance(block.lif, LIF)
            parts.append(layer.SeqToANNContainer(block.synapse))
            parts.append(Unbound(_norms_of(norm, conv)) if unbind else _layer_of(layer, norm, conv))
            node = {"v_threshold": 1.0, "v_reset": None, "detach_reset": True, "decay_input": False, "step_mode": "m"}
            parts.append(
                neuron.LIFNode(tau=1 / (1 - float(block.lif.neuron.leak)), surrogate_function=Triangle(), **node)
            )
            parts.append(layer.SeqToANNContainer(block.pool))
        assert isinstance(network.readout, Readout)
        parts.append(layer.SeqToANNContainer(network.readout.synapse))
        self.net = nn.Sequential(*parts)

    def forward(self, images: Tensor) -> Tensor:
        drawn = self.spikes
        x = torch.stack([poisson(images) for _ in range(self.num_steps)]) if drawn is None else drawn
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
        for block in network.blocks.values():
            assert isinstance(block, SpikingBlock)
            norm, conv = block.norm, isinstance(block.synapse, nn.Conv2d)
            assert isinstance(norm, TemporalNorm)
            assert isinstance(block.lif, LIF)
            kind = snntorch.BatchNormTT2d if conv else snntorch.BatchNormTT1d
            through = kind(norm.channels, norm.num_steps, eps=norm.eps, momentum=norm.momentum)
            _fill(through, norm)
            self.synapses.append(block.synapse)
            self.norms.append(through)
            self.neurons.append(snntorch.Leaky(beta=float(block.lif.neuron.leak), spike_grad=slope, reset_delay=False))
            self.pools.append(block.pool)
        assert isinstance(network.readout, Readout)
        self.readout = network.readout.synapse

    def forward(self, images: Tensor) -> Tensor:
        membranes = [neuron.init_leaky() for neuron in self.neurons]  # type: ignore[operator]
        voltage: Any = 0.0
        for t in range(self.num_steps):
            x = poisson(images) if self.spikes is None else self.spikes[t]
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
