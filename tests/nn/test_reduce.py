"""A batch in parts, one with each process: batch statistics, and what they do in the backward pass, are the whole's."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bntt.nn import NORMS, Compute, SpikingNetwork
from tests.grids import pairs
from tests.kernels import needs_kernels
from tests.nn.networks import small, spikes_of
from tests.processes import Processes
from tests.rows import each_row

T = 4
BATCH_NORMS = [name for name in NORMS if name not in ("layer", "none")]


def build(norm: str, compute: Compute, dtype: torch.dtype) -> SpikingNetwork:
    net = small(T, lambda channels, steps: NORMS[norm](channels, steps, 1.0)).to(dtype)
    net.compute = compute
    return net.train()


def learn(net: SpikingNetwork, x: Tensor, towards: Tensor) -> dict[str, Tensor]:
    """A loss that is a sum over samples, so that the parts' gradients add up to the whole's."""
    x = x.clone().requires_grad_()
    logits = net(x)
    (logits * towards).sum().backward()
    return {"logits": logits.detach(), "input": x.grad, **{name: p.grad for name, p in net.named_parameters()}}


def parts_and_whole(norm: str, sizes: list[int], compute: Compute, dtype: torch.dtype, rng: torch.Generator):
    x = spikes_of(T, sum(sizes), rng).to(dtype)
    towards = torch.randn(sum(sizes), 4, generator=rng).to(dtype)
    whole = build(norm, compute, dtype)
    expected = learn(whole, x, towards)
    processes = Processes(len(sizes))
    nets: list[SpikingNetwork | None] = [None] * len(sizes)

    def work(rank: int, reduce) -> dict[str, Tensor]:
        choice = replace(compute, reduce=reduce)
        nets[rank] = build(norm, choice, dtype)
        return learn(nets[rank], x.split(sizes, 1)[rank], towards.split(sizes)[rank])

    parts, join = processes.run(work), {"logits": torch.cat, "input": lambda values: torch.cat(values, 1)}
    found = {name: join.get(name, sum)([part[name] for part in parts]) for name in expected}
    return expected, found, [dict(net.named_buffers()) for net in (whole, *nets)], processes.calls


def check(norm: str, sizes: list[int], compute: Compute, rng: torch.Generator, *, tolerance: float, spans: int) -> None:
    """A part of one sample included, whose fully connected layer would be refused alone."""
    dtype = torch.float64 if compute.backend == "reference" else torch.float32
    expected, found, buffers, calls = parts_and_whole(norm, sizes, compute, dtype, rng)
    for name, value in expected.items():
        assert float((found[name] - value).abs().max()) <= tolerance * float(value.abs().max()) + 1e-7, name
    for other in buffers[1:]:
        assert all(torch.allclose(other[name], value, atol=1e-5) for name, value in buffers[0].items())
    assert calls == [calls[0]] * len(sizes)
    assert len(calls[0]) == 2 * 4 * spans, "once forward and once backward for every layer"


@pytest.mark.slow
@each_row("norm", BATCH_NORMS)
@each_row("sizes", [[3, 3], [5, 1], [2, 1, 3]])
def test_plain_parts_are_the_whole_in_float64(norm, sizes, rng):
    check(norm, sizes, Compute("reference"), rng, tolerance=1e-10, spans=1)


@needs_kernels
@pairs(norm=["bntt", "tab"], recompute=["never", 2], sizes=[[3, 3], [5, 1]])
def test_fused_parts_are_the_whole(norm, sizes, recompute, rng):
    spans = 1 if recompute == "never" else 2
    check(norm, sizes, Compute("cpu", recompute=recompute), rng, tolerance=5e-5, spans=spans)


@each_row("norm", ["bntt", "tab"])
def test_evaluation_asks_nobody(norm, rng):
    def refuse(sums: Tensor) -> Tensor:
        raise AssertionError

    net = build(norm, Compute(reduce=refuse), torch.float32).eval()
    assert net(spikes_of(T, 3, rng)).shape == (3, 4)
