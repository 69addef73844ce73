"""How the kernels are started: tiles, several of them for one program, gradients shared by steps and in place."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.layer_spec import Reverse, SpikeGrad, pooled_shape
from bntt.engine.triton import launch
from bntt.ops.lif import Neuron
from tests.engine.test_scan import affine_of, make, rows_of
from tests.engine.triton import DEVICE
from tests.kernels import scan_backward

SHAPE = (11, 2, 3, 5, 9, (2, 2))


def results(rng: torch.Generator) -> list[torch.Tensor]:
    current, gamma, beta = make(SHAPE, rng)
    affine, inverse = affine_of(*(t.to(DEVICE) for t in (current, gamma, beta)))
    x, window = current.to(DEVICE), SHAPE[-1]
    counts, out = torch.empty(pooled_shape(x, window), dtype=torch.uint8, device=DEVICE), torch.empty_like(x)
    gradient = torch.randn(counts.shape, generator=rng).to(DEVICE)
    fired = launch.scan(x, affine, Neuron(), window, counts)
    reverse = Reverse(x, affine, inverse, Neuron(), window, SpikeGrad(gradient))
    sums = scan_backward(reverse, out, rows=rows_of(x), kernels="triton")
    return [counts, fired, out, *sums]


@pytest.mark.slow
def test_small_tiles_and_programs_with_several_of_them_change_nothing(rng, monkeypatch):
    state = rng.get_state()
    whole = results(rng)
    monkeypatch.setattr(launch, "TILE", 64)
    monkeypatch.setattr(launch, "SPAN", 5)
    monkeypatch.setattr(launch, "_programs", lambda current: 2)
    _, tile = launch._tiles(torch.empty(SHAPE[:5]), SHAPE[-1])
    assert launch._tiles(torch.empty(SHAPE[:5]), SHAPE[-1])[0] > 4
    assert tile == {"HEIGHT": 2, "WIDTH": 2, "ROWS": 1, "WINDOW": 4, "CHANNELS": 16}
    rng.set_state(state)
    for ours, theirs in zip(results(rng), whole, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


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
def test_a_gradient_shared_by_all_steps_and_one_written_over_the_current(rng):
    current, gamma, beta = (t.to(DEVICE) for t in make(SHAPE, rng))
    affine, inverse = affine_of(current, gamma, beta)
    shared = torch.randn(1, 2, 1, 2, 9, generator=rng).to(DEVICE)
    found = []
    for grad, scale in ((shared, 0.5), ((shared * 0.5).expand(11, -1, -1, -1, -1).contiguous(), 1.0)):
        out = current.clone()
        reverse = Reverse(out, affine, inverse, Neuron(), (2, 2), SpikeGrad(grad, scale))
        sums = scan_backward(reverse, out, rows=rows_of(out), kernels="triton")
        found.append((out, *sums))
    apart = torch.empty_like(current)
    reverse = Reverse(current, affine, inverse, Neuron(), (2, 2), SpikeGrad(shared, 0.5))
    scan_backward(reverse, apart, rows=rows_of(current), kernels="triton")
    assert torch.equal(apart, found[0][0])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_bfloat16_in_memory_is_float_in_between(rng):
    current, gamma, beta = (t.to(DEVICE) for t in make(SHAPE, rng))
    current = current.bfloat16()
    affine, inverse = affine_of(current.float(), gamma, beta)
    gradient = torch.randn(pooled_shape(current, SHAPE[-1]), generator=rng).bfloat16().to(DEVICE)
    found = []
    for x, grad in ((current, gradient), (current.float(), gradient.float())):
        counts, out = torch.empty(grad.shape, dtype=torch.uint8, device=DEVICE), torch.empty_like(x)
        fired = launch.scan(x, affine, Neuron(), SHAPE[-1], counts)
        reverse = Reverse(x, affine, inverse, Neuron(), SHAPE[-1], SpikeGrad(grad))
        sums = scan_backward(reverse, out, rows=rows_of(x), kernels="triton")
        found.append([*launch.moments(x), counts, fired, *sums, out.float()])
    for ours, theirs in zip(*found, strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-2, atol=1e-4)
