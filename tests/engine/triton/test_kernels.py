"""Every Triton kernel against the twin in float64, and how they are started: tiles, several of them for a program."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import zlib

import pytest
import torch

from bntt.engine.layer_spec import Reverse, SpikeGrad
from bntt.engine.triton import launch
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle
from tests.engine.test_scan import Errors, Twin, affine_of, make, named, rows_of
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


def judge(shape: tuple, neuron: Neuron) -> Errors:
    """The kernels, from a given membrane on and with a later step's gradient, against float64."""
    rules = (neuron.rule.__name__, neuron.reset.__name__)  # not their repr: it holds an address, another each time
    case = repr((shape, neuron.leak, neuron.threshold, rules, neuron.surrogate))
    twin = Twin(shape, neuron, torch.Generator().manual_seed(zlib.crc32(case.encode())))
    return twin.errors((0, shape[0]), "triton")


CASES = [
    (shape, Neuron(0.95, 1.0, *rule, SURROGATES[(i + j) % 3]))
    for i, shape in enumerate(SHAPES)
    for j, rule in enumerate(RULES)
]
OTHERS = [(SHAPES[2], Neuron(0.8, 0.7, surrogate=surrogate)) for surrogate in SURROGATES]


@pytest.mark.parametrize(
    ("shape", "neuron"),
    [*CASES[:16:5], *(pytest.param(*case, marks=pytest.mark.slow) for case in [*CASES, *OTHERS])],
    ids=named,
)
def test_forward_and_every_gradient(shape, neuron):
    found = judge(shape, neuron)
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


LARGE = (11, 2, 3, 5, 9, (2, 2))


@pytest.mark.slow
def test_small_tiles_and_programs_with_several_of_them_change_nothing(rng, monkeypatch):
    monkeypatch.setattr(launch, "TILE", 64)
    monkeypatch.setattr(launch, "SPAN", 5)
    monkeypatch.setattr(launch, "_programs", lambda current: 2)
    tiles, tile = launch._tiles(torch.empty(LARGE[:5]), LARGE[-1])
    assert tiles > 4
    assert tile == {"HEIGHT": 2, "WIDTH": 2, "ROWS": 1, "WINDOW": 4, "CHANNELS": 16}
    Twin(LARGE, Neuron(), rng).judge(kernels="triton")


def test_tiles_cover_everything_and_are_not_too_large():
    for shape, window in (
        ((1, 4, 32, 32, 64), (2, 2)),
        ((1, 128, 1, 1, 256), (1, 1)),
        ((1, 2, 16, 16, 512), (16, 16)),
        ((1, 1, 1, 1, 1), (1, 1)),
    ):
        tiles, tile = launch._tiles(torch.empty(shape, device="meta"), window)
        windows = shape[1] * -(-shape[2] // window[0]) * -(-shape[3] // window[1])
        assert (tiles - 1) * tile["ROWS"] < windows <= tiles * tile["ROWS"]
        assert tile["WINDOW"] >= window[0] * window[1]
        assert tile["ROWS"] * tile["WINDOW"] * tile["CHANNELS"] <= 4 * launch.TILE


@pytest.mark.slow
def test_a_gradient_shared_by_all_steps_in_place(rng):
    current, gamma, beta = (t.to(DEVICE) for t in make(LARGE, rng))
    affine, inverse = affine_of(current, gamma, beta)
    shared = torch.randn(1, 2, 1, 2, 9, generator=rng).to(DEVICE)
    found = []
    for grad, scale in ((shared, 0.5), ((shared * 0.5).expand(11, -1, -1, -1, -1).contiguous(), 1.0)):
        out = current.clone()
        reverse = Reverse(out, affine, inverse, Neuron(), (2, 2), SpikeGrad(grad, scale))
        found.append((out, *scan_backward(reverse, out, rows=rows_of(out), kernels="triton")))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)
