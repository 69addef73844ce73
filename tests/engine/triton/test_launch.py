"""How the kernels are started: tiles, several of them for one program, and gradients that all steps share."""

from __future__ import annotations

import pytest
import torch

from bntt.engine.layer_spec import Reverse, SpikeGrad
from bntt.engine.triton import launch
from bntt.ops.lif import Neuron
from tests.engine.test_scan import Twin, affine_of, make, rows_of
from tests.engine.triton import DEVICE
from tests.kernels import scan_backward

SHAPE = (11, 2, 3, 5, 9, (2, 2))


@pytest.mark.slow
def test_small_tiles_and_programs_with_several_of_them_change_nothing(rng, monkeypatch):
    monkeypatch.setattr(launch, "TILE", 64)
    monkeypatch.setattr(launch, "SPAN", 5)
    monkeypatch.setattr(launch, "_programs", lambda current: 2)
    tiles, tile = launch._tiles(torch.empty(SHAPE[:5]), SHAPE[-1])
    assert tiles > 4
    assert tile == {"HEIGHT": 2, "WIDTH": 2, "ROWS": 1, "WINDOW": 4, "CHANNELS": 16}
    Twin(SHAPE, Neuron(), rng).judge(kernels="triton")


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
    current, gamma, beta = (t.to(DEVICE) for t in make(SHAPE, rng))
    affine, inverse = affine_of(current, gamma, beta)
    shared = torch.randn(1, 2, 1, 2, 9, generator=rng).to(DEVICE)
    found = []
    for grad, scale in ((shared, 0.5), ((shared * 0.5).expand(11, -1, -1, -1, -1).contiguous(), 1.0)):
        out = current.clone()
        reverse = Reverse(out, affine, inverse, Neuron(), (2, 2), SpikeGrad(grad, scale))
        found.append((out, *scan_backward(reverse, out, rows=rows_of(out), kernels="triton")))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-7)
