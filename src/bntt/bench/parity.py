"""Parity before timing: every variant must compute what the reference does before it is timed."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bntt.bench.cases import Case, images, kernels_of, network
from bntt.bench.rivals import PEERS, PerStepLoop
from bntt.engine.compute import Compute, Precision, Recompute
from bntt.nn import PoissonEncoder, SpikingNetwork

TOLERANCE = 1e-4
"""Tolerance of logits and of every gradient, relative to its norm, in float32 over few steps, where ties are rare."""


BF16_TOLERANCE = 3e-2
"""Tolerance of gradients whose factors are rounded to 8 bits; the logits of "bf16-grad" must still agree exactly."""


class ParityError(AssertionError):
    """A variant that computes something else: its time would mean nothing."""


@dataclass(frozen=True)
class Parity:
    """The deviation of a variant from the reference."""

    variant: str
    logits: float
    gradients: float
    """Deviation of the worst parameter's gradient."""


def check_parity(variants: list[str], device: str = "cpu") -> list[Parity]:
    """Compare the variants that claim the same arithmetic with the reference, on the same weights and spikes.

    snnTorch is left out: its neuron resets differently, so it is another model with the same layers. So is "bf16": some
    of its spikes differ.

    Raises:
        ParityError: on the first variant that is further away than the tolerance.
    """
    with torch.backends.cudnn.flags(allow_tf32=False):  # a GPU's short mantissa would flip spikes in every variant
        return _check(variants, device)


def _check(variants: list[str], device: str) -> list[Parity]:
    case = Case("parity", num_steps=4, batch=6, width=0.25, device=device)
    pixels, labels = images(case)
    spikes = PoissonEncoder(case.num_steps).spikes(pixels, draw=5)
    net = network(case)
    expected = _result(_own(net, Compute(backend="reference")), spikes, labels)
    found = []
    for name in variants:
        module = _module(name, net, spikes)
        if module is None:
            continue
        ours = _result(module, spikes if isinstance(module, SpikingNetwork) else pixels, labels)
        off = float((ours[0] - expected[0]).norm() / expected[0].norm())
        parity = Parity(name, off, _worst(ours[1], expected[1], case.num_steps))
        found.append(parity)
        tolerance = BF16_TOLERANCE if name == "bf16-grad" else TOLERANCE
        if not (parity.logits <= TOLERANCE and parity.gradients <= tolerance):  # written so that NaN fails
            raise ParityError(
                f"{name} differs from the reference by {parity.logits:.1e} in the logits and {parity.gradients:.1e} in "
                f"its worst gradient (relative, at most {tolerance:.0e}): nothing is timed"
            )
    return found


def _own(net: SpikingNetwork, compute: Compute) -> SpikingNetwork:
    made = copy.deepcopy(net)
    made.compute = compute
    return made


def _module(name: str, net: SpikingNetwork, spikes: Tensor) -> nn.Module | None:
    if name == "reference":
        return _own(net, Compute(backend="reference"))
    if name in ("fused", "recompute", "bf16-grad"):
        steps: Recompute = 2 if name == "recompute" else "never"
        precision: Precision = "bf16-grad" if name == "bf16-grad" else "fp32"
        return _own(net, Compute(kernels_of(str(spikes.device)), recompute=steps, precision=precision))
    if name == "loop":
        return PerStepLoop(copy.deepcopy(net), lambda images, t: spikes[t])
    if name.startswith("spikingjelly"):
        return PEERS[name](copy.deepcopy(net), spikes)
    return None


def _result(module: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
    logits = module(x)
    F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
    return logits.detach(), [p.grad for p in module.parameters() if p.grad is not None]


def _worst(ours: list[Tensor], theirs: list[Tensor], num_steps: int) -> float:
    """Return the worst deviation. Weights are matched by shape and order; a γ of ``[T, C]`` with T ones of ``[C]``."""
    weights = [[g for g in grads if g.ndim in (2, 4) and g.shape[0] != num_steps] for grads in (ours, theirs)]
    rows = [
        [row for g in grads if g.ndim == 1 or g.shape[0] == num_steps for row in g.reshape(-1, g.shape[-1])]
        for grads in (ours, theirs)
    ]
    pairs = [*zip(*weights, strict=True), *zip(*rows, strict=True)]
    scale = max(float(b.norm()) for _, b in pairs) * 1e-3
    return max(float((a - b).norm()) / max(float(b.norm()), scale) for a, b in pairs)
