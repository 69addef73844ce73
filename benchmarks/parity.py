"""Parity before timing: every variant must compute what the reference does before it is timed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.baselines import BASELINES
from benchmarks.cases import Case, compute_of, images, network
from bntt.nn import PoissonEncoder

TOLERANCE = 1e-4
"""Of logits and of every gradient, relative to its norm, in float32 over few steps, where ties are rare."""
BF16_TOLERANCE = 3e-2
"""Of gradients whose factors are rounded to 8 bits; the logits of "bf16-grad" must still agree exactly."""
OTHER_ARITHMETIC = ("dense limit", "bf16", "bf16 recompute", "snntorch")
"""Not compared: the dense limit has no logits, some spikes of bf16 differ, and snnTorch's neuron resets later."""


class ParityError(AssertionError):
    """A variant that computes something else: its time would mean nothing."""


def check_parity(variants: Sequence[str], device: str = "cpu") -> list[dict[str, Any]]:
    """Compare logits and all gradients with the reference's, on the same weights and spikes, until one is off."""
    case = Case("parity", num_steps=4, batch=6, width=0.25, device=device)
    pixels, labels = images(case)
    spikes = PoissonEncoder(case.num_steps).spikes(pixels, draw=5)
    net, rows = network(case), []

    def result(variant: str) -> tuple[Tensor, list[Tensor]]:
        ours = copy.deepcopy(net)
        ours.compute = compute_of("reference" if variant in BASELINES else variant, case.num_steps, device)
        module = BASELINES[variant](ours, spikes) if variant in BASELINES else ours
        with torch.backends.cudnn.flags(allow_tf32=False):  # a GPU's short mantissa would flip spikes in every variant
            logits = module(pixels if variant in BASELINES else spikes)
            F.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
        return logits.detach(), [p.grad for p in module.parameters() if p.grad is not None]

    expected, wanted = result("reference")
    for variant in (name for name in variants if name not in OTHER_ARITHMETIC):
        logits, grads = result(variant)
        off, worst = float((logits - expected).norm() / expected.norm()), _worst(grads, wanted, case.num_steps)
        rows.append({"variant": variant, "logits": off, "gradients": worst})
        tolerance = BF16_TOLERANCE if variant == "bf16-grad" else TOLERANCE
        if not (off <= TOLERANCE and worst <= tolerance):  # written so that NaN fails
            raise ParityError(
                f"{variant} differs from the reference by {off:.1e} in the logits and {worst:.1e} in its worst "
                f"gradient (relative, at most {tolerance:.0e}): nothing is timed"
            )
    return rows


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
