"""What tests of the compiled kernels share: which instruction sets there are, and a plain loop that judges a scan."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from bntt.engine import workspace
from bntt.engine.compute import KernelName
from bntt.engine.cpu import library
from bntt.engine.kernels import has_bf16, open_kernels
from bntt.engine.layer_spec import Reverse
from bntt.nn import SpikingNetwork

needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this processor has no bfloat16 arithmetic")
needs_kernels = pytest.mark.skipif(library.LIBRARY is None, reason=library.REASON)


VARIANTS = library.variants()[: library.variants().index(library.use_variant()) + 1] if library.LIBRARY else ["none"]
"""Every instruction set of this processor, up to the one in use; tests that need another one are skipped."""
needs_fused = pytest.mark.skipif(VARIANTS[-1] in ("none", "portable"), reason="needs fused multiply-add")


@contextmanager
def using(name: str) -> Iterator[None]:
    """Compute with the kernels of one instruction set."""
    before = library.use_variant()
    assert library.use_variant(name) == name
    try:
        yield
    finally:
        library.use_variant(before)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every instruction set, one after another."""
    with using(request.param):
        yield request.param


def simulate(
    drive: np.ndarray, leak: float, threshold: float, before: bool, hard: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 4 step by step in float64: spikes, and the potential that each was decided on, both ``[T, ...]``."""
    membrane = np.zeros_like(drive[0])
    spikes, potentials = [], []
    for z in drive:
        potential = membrane if before else leak * membrane + z
        o = (potential > threshold).astype(np.float64)
        kept = leak * potential if before else potential
        membrane = (kept * (1 - o) if hard else kept - threshold * o) + (z if before else 0)
        spikes.append(o)
        potentials.append(potential)
    return np.stack(spikes), np.stack(potentials)


def choose(net: SpikingNetwork, **choices: Any) -> None:
    """Change some of what a network computes with; plain PyTorch has nothing to compute again."""
    if choices.get("backend", net.compute.backend) == "reference":
        choices["recompute"] = "never"
    net.compute = dataclasses.replace(net.compute, **choices)


@contextmanager
def poisoned(small: int = 1) -> Iterator[None]:
    """The buffers of all passes are NaN (as bytes 255) when they are taken and as soon as they are given back.

    Args:
        small: buffers of fewer bytes are not kept; 1 lets small networks share buffers as large ones do.
    """
    space = workspace.Workspace
    take, give = space.take, space.give

    def poisoned_take(self: workspace.Workspace, size: int) -> Tensor:
        return take(self, size).fill_(255)

    def poisoned_give(self: workspace.Workspace, held: Tensor) -> None:
        give(self, held.fill_(255))

    workspace.WORKSPACE.clear()
    with (
        patch.object(workspace, "_SMALL", small),
        patch.object(space, "take", poisoned_take),
        patch.object(space, "give", poisoned_give),
    ):
        yield
    workspace.WORKSPACE.clear()


def scan_backward(
    reverse: Reverse, out: Tensor, *, rows: int | None, kernels: KernelName = "cpu"
) -> tuple[Tensor, Tensor]:
    """Both sweeps: sums of g and of g x̂, and the current's gradient into ``out``; ``rows`` where Eq. 10 holds."""
    launch = open_kernels(kernels)
    sums = launch.scan_sums(reverse)
    offset, slope = torch.zeros_like(reverse.inverse), torch.zeros_like(reverse.inverse)
    if rows is not None:
        scale = reverse.affine.scale
        offset, slope = (scale * sums[0] / rows).float(), (scale * reverse.inverse * sums[1] / rows).float()
    launch.scan_reverse(reverse, out, offset, slope)
    return sums[0], sums[1]
