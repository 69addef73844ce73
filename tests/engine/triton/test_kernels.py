"""Every Triton kernel against the twin in float64: odd sizes, T from 1 to 33, both resets and firing orders."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import zlib
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from bntt.engine.cpu.launch import scan, scan_reference
from bntt.engine.layer_spec import Affine, Reverse, SpikeGrad, pooled_shape
from bntt.engine.triton import launch
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.engine.triton import DEVICE
from tests.kernels import needs_kernels, scan_backward

pytestmark = needs_kernels
SHAPES = [  # T, B, H, W, C, window
    (1, 2, 4, 4, 16, (2, 2)),
    (2, 1, 1, 1, 3, (1, 1)),
    (2, 3, 5, 7, 33, (2, 2)),
    (25, 2, 3, 5, 7, (2, 2)),
    (25, 9, 1, 1, 70, (1, 1)),
    (3, 2, 6, 7, 5, (3, 3)),
    (4, 2, 3, 5, 20, (3, 5)),
    (33, 3, 1, 1, 6, (1, 1)),
]
RULES = list(itertools.product((fire_after, fire_before), (soft_reset, hard_reset)))
SURROGATES = (Triangle(), FastSigmoid(), ArcTan())


def named(value: tuple) -> str:
    """Without the places of functions, which differ from process to process."""
    return "-".join(getattr(part, "__name__", str(part)) for part in value)


class Errors(NamedTuple):
    """Of one case: spikes that differ, and errors relative to the largest value."""

    mismatches: int
    membrane: float
    current: float
    gamma: float
    beta: float
    carry: float


def judge(shape: tuple, neuron: Neuron) -> Errors:
    """The kernels, from a given membrane on and with a later step's gradient, against float64."""
    steps, batch, height, width, channels, window = shape
    rules = (neuron.rule.__name__, neuron.reset.__name__)  # not their repr: it holds an address, another each time
    case = repr((shape, neuron.leak, neuron.threshold, rules, neuron.surrogate))
    rng = torch.Generator().manual_seed(zlib.crc32(case.encode()))
    current = torch.randn(steps, batch, height, width, channels, generator=rng) * 2
    gamma, beta = torch.rand(steps, channels, generator=rng) + 0.4, torch.randn(steps, channels, generator=rng) * 0.2
    start = torch.randn(current.shape[1:], generator=rng)
    wide = [t.double().requires_grad_() for t in (current, gamma, beta, start)]
    batch_statistics = current[0].numel() > channels
    if batch_statistics:
        mean = wide[0].mean((1, 2, 3))
        inverse = (wide[0].var((1, 2, 3), correction=0) + 1e-4).rsqrt()
    else:
        mean, inverse = (torch.full((steps, channels), v, dtype=torch.float64) for v in (0.1, 1.3))
    affine = Affine(mean, wide[1] * inverse, wide[2])
    expected = scan_reference(wide[0], affine, neuron, window, wide[3])
    gradient = torch.randn(expected.shape, generator=rng)
    (expected * gradient).sum().backward()

    def narrow(t: Tensor) -> Tensor:
        return t.detach().float().contiguous().clone().to(DEVICE)

    x, table = narrow(current), Affine(*(narrow(t) for t in (affine.mean, affine.scale, affine.shift)))
    counts = torch.empty(pooled_shape(x, window), dtype=torch.uint8, device=DEVICE)
    membrane, out, carry = narrow(start), torch.empty_like(x), torch.zeros_like(x[0])
    fired = launch.scan(x, table, neuron, window, counts, membrane)
    reverse = Reverse(x, table, narrow(inverse), neuron, window, SpikeGrad(narrow(gradient)), narrow(start), carry)
    rows = current[0].numel() // channels if batch_statistics else None
    sums = scan_backward(reverse, out, rows=rows, kernels="triton")
    area = window[0] * window[1]
    twin = torch.empty(counts.shape, dtype=torch.uint8)
    kept = start.clone()
    host = Affine(*(t.cpu() for t in (table.mean, table.scale, table.shift)))
    assert torch.equal(fired.cpu(), scan(current, host, neuron, window, twin, kept))

    def off(ours: Tensor, theirs: Tensor | None) -> float:
        if theirs is None:  # nothing depends on a last current that never fires
            return float(ours.abs().max())
        return float((ours.cpu().double() - theirs).abs().max() / theirs.abs().max().clamp(min=1e-9))

    return Errors(
        int((counts.cpu().double() / area != expected.detach()).sum()),
        off(membrane, kept.double()),
        off(out, wide[0].grad),
        off(sums[1], wide[1].grad),
        off(sums[0], wide[2].grad),
        off(carry, wide[3].grad),
    )


def check(shape: tuple, rule: tuple) -> None:
    number = SHAPES.index(shape) + RULES.index(rule)
    found = judge(shape, Neuron(0.95, 1.0, *rule, SURROGATES[number % 3]))
    assert found.mismatches == 0
    assert max(found[1:]) < 3e-5


@pytest.mark.parametrize(("shape", "rule"), list(zip(SHAPES[:4], RULES, strict=True)), ids=named)
def test_forward_and_every_gradient(shape, rule):
    check(shape, rule)


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "rule"), list(itertools.product(SHAPES, RULES)), ids=named)
def test_forward_and_every_gradient_of_every_shape_and_rule(shape, rule):
    check(shape, rule)


@pytest.mark.slow
@pytest.mark.parametrize("surrogate", SURROGATES, ids=str)
def test_every_surrogate_and_another_threshold(surrogate):
    found = judge(SHAPES[2], Neuron(0.8, 0.7, surrogate=surrogate))
    assert found.mismatches == 0
    assert max(found[1:]) < 3e-5


@pytest.mark.parametrize(("shape", "offset"), [((2, 7, 5, 3, 20), 1e3), ((1, 2, 1, 1, 70), 0.0)], ids=str)
def test_moments_are_right_a_thousand_deviations_away(shape, offset, rng):
    current = torch.randn(shape, generator=rng) + offset
    copy = torch.empty_like(current, device=DEVICE)
    mean, var = launch.moments(current.to(DEVICE), copy)
    assert torch.equal(copy.cpu(), current)
    wide = current.double()
    assert torch.allclose(mean.cpu().double(), wide.mean((1, 2, 3)), rtol=1e-6, atol=1e-6)
    assert torch.allclose(var.cpu().double(), wide.var((1, 2, 3), correction=0), rtol=1e-5, atol=1e-6)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from bntt.engine.triton import kernels

TYPES = {"counts": "*u8", "fired": "*i32", "partial": "*fp64"}
TYPES |= dict.fromkeys(("grad_scale", "second_constant"), "fp32")
WHOLE = ("steps", "images", "height", "width", "channels", "rows", "chunk", "grad_step", "spans", "tiles")
WHOLE += ("neuron_step", "neuron_table")
TILE = {"HEIGHT": 2, "WIDTH": 2, "ROWS": 4, "WINDOW": 4, "CHANNELS": 64}

def compiled(kernel, target, types, **constants):
    names = kernel.arg_names
    of = {n: types.get(n, "i32" if n in WHOLE else "*fp32") for n in names}
    of |= {n: "constexpr" for n in constants}
    source = ASTSource(kernel, of, constexprs={(names.index(n),): v for n, v in constants.items()})
    assert "cubin" in triton.compile(source, target=target, options={"num_warps": 4}).asm

for capability in (80, 90):
    target = GPUTarget("cuda", capability, 32)
    compiled(kernels.moments, target, TYPES | {"partial": "*fp32"}, ROWS=32, CHANNELS=64)
    for before, hard in ((0, 0), (0, 1), (1, 0), (1, 1))[: 4 if capability == 90 else 1]:
        flags = {"BEFORE": bool(before), "HARD": bool(hard), "CARRIED": True}
        low = {"current": "*bf16"} if hard else {}
        compiled(kernels.scan_forward, target, TYPES | low, **TILE, **flags)
        for kind, sums in ((0, True), (0, False), (1, False), (2, True)):
            more = {"SPAN": 16, "KIND": kind, "SUMS": sums, "STARTED": True}
            low = {"current": "*bf16", "grad_spikes": "*bf16", "out": "*bf16"} if hard else {}
            compiled(kernels.scan_reverse, target, TYPES | low, **TILE, **flags, **more)
print("compiled")
"""


@pytest.mark.slow
def test_they_compile_for_gpus_that_are_not_here():
    """For an H100 (every rule and surrogate, bfloat16 too) and an A100, down to machine code: the interpreter takes
    much that the compiler does not."""
    settings = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", COMPILE], capture_output=True, text=True, timeout=300, env=settings
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "compiled" in done.stdout


def table() -> str:
    """The errors of all cases, for docs/evidence/gpu.md."""
    head = ("T, B, H, W, C, window", "fires", "reset", "surrogate", *Errors._fields)
    lines = [head, ("---",) * len(head)]
    for shape, (rule, reset) in itertools.product(SHAPES, RULES):
        kind = SURROGATES[(SHAPES.index(shape) + RULES.index((rule, reset))) % 3]
        found = judge(shape, Neuron(0.95, 1.0, rule, reset, kind))
        names = (rule.__name__.split("_")[1], reset.__name__.split("_")[0], type(kind).__name__)
        lines.append((str(shape)[1:-1], *names, str(found.mismatches), *(f"{e:.1e}" for e in found[1:])))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
