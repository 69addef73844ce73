"""The simulated camera: what a pixel must say of a brightness that is known, by hand and by a slow twin."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bntt.data import fashion_mnist_bundled
from bntt.data.events import camera as module
from bntt.data.events.camera import Camera, _crossings, _enlarged, _loop, simulate
from tests.rows import each_row

QUIET = Camera(noise=0.0, mismatch=0.0)


def image(number=0):
    return fashion_mnist_bundled().train.images[number]


def slow(logs, threshold, camera):
    """Pixel by pixel: a reference follows the log intensity in steps of the threshold."""
    found = []
    for place in range(logs.shape[1]):
        kept = float(logs[0, place])
        for number in range(camera.loops * camera.pictures):
            before = float(logs[number % camera.pictures, place])
            after = float(logs[(number + 1) % camera.pictures, place])
            while abs(after - kept) >= threshold:
                sign = 1 if after > kept else -1
                kept += sign * threshold
                share = (kept - before) / (after - before)
                found.append((int((number + share) * camera.loop_us / camera.pictures), place, int(sign > 0)))
    return sorted(found)


def test_every_event_is_that_of_a_slow_twin():
    camera = replace(QUIET, size=6, pictures=12, loop_us=1200, threshold=0.25)
    logs = np.log(camera.dark + np.stack(list(_loop(image(), 0.3, camera)))).reshape(12, -1).astype(np.float64)
    fired = list(_crossings(logs, np.full(36, 0.25), camera))
    got = sorted(zip(*(np.concatenate(part).tolist() for part in zip(*fired, strict=True)), strict=True))
    expected = slow(logs, 0.25, camera)
    assert len(expected) > 50
    assert [row[1:] for row in got] == [row[1:] for row in expected]
    assert max(abs(a[0] - b[0]) for a, b in zip(got, expected, strict=True)) <= 1


def test_a_pixel_by_hand():
    camera = replace(QUIET, size=1, pictures=2, loops=1, loop_us=200)
    logs = np.array([[0.0], [1.0]])
    fired = list(_crossings(logs, np.array([0.4]), camera))
    # up: 0.4 and 0.8 of 100 us; down from 0.8: 0.4 is reached after 0.6 of the way, 0.0 at its end
    assert [t.tolist() for t, _, _ in fired] == [[40, 80], [160, 200]]
    assert [p.tolist() for _, _, p in fired] == [[1, 1], [0, 0]]


def test_the_picture_moves_round_a_circle_and_is_upright():
    camera = replace(QUIET, pictures=4, radius=3.0)
    margin = 4
    wide = _enlarged(image(), 128 + 2 * margin)
    right, down, left, up = _loop(image(), 0.0, camera)  # the window; the picture goes the other way
    for seen, (row, column) in ((right, (4, 7)), (down, (7, 4)), (left, (4, 1)), (up, (1, 4))):
        assert np.allclose(seen, wide[row : row + 128, column : column + 128], atol=1e-6)


def test_luminance_of_the_square_in_the_middle():
    pixels = torch.zeros(3, 2, 4, dtype=torch.uint8)
    pixels[0, :, 1], pixels[1, :, 2], pixels[:, :, 3] = 255, 255, 255
    assert np.allclose(_enlarged(pixels, 2), [[0.299, 0.587]] * 2)


def test_all_is_a_function_of_seed_and_index():
    first, again = simulate(image(), seed=3, index=5)[0], simulate(image(), seed=3, index=5)[0]
    others = [simulate(image(), seed=3, index=6)[0], simulate(image(), seed=4, index=5)[0]]
    for name in "txyp":
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert all(len(other) != len(first) or not np.array_equal(other.t, first.t) for other in others)


def test_the_camera_is_the_same_for_every_picture_and_its_pixels_differ(monkeypatch):
    camera = replace(QUIET, mismatch=0.3, radius=1.0)
    plain, uneven = simulate(image(), camera=replace(camera, mismatch=0.0))[0], simulate(image(), camera=camera)[0]
    assert len(plain) != len(uneven)
    taken: list[np.ndarray] = []

    def crossings(logs, own, camera, real=module._crossings):
        taken.append(own)
        return real(logs, own, camera)

    monkeypatch.setattr(module, "_crossings", crossings)
    for index in (0, 1):
        simulate(image(), camera=replace(camera, most=1_000_000), index=index)
    assert len(taken) == 2
    assert np.array_equal(taken[0], taken[1])
    assert (taken[0] / camera.threshold).std() == pytest.approx(0.28, abs=0.03)  # none is below a half


def test_a_gray_picture_gives_noise_alone_and_as_much_as_asked_for():
    events, _ = simulate(torch.full((1, 28, 28), 99, dtype=torch.uint8), camera=Camera(noise=0.02))
    assert abs(len(events) - 0.02 * 128**2) < 4 * math.sqrt(0.02 * 128**2)
    assert len({*zip(events.x.tolist(), events.y.tolist(), strict=True)}) == len(events)
    assert 0.4 < events.p.mean() < 0.6
    assert events.t.min() < 30_000
    assert events.t.max() > 570_000


@each_row("number", range(3))
def test_no_recording_has_more_than_the_most(number):
    noise = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(number))
    events, threshold = simulate(noise, index=number)
    assert len(events) <= 20_000
    assert threshold > 0.2
    with pytest.raises(ValueError, match=r"noise .* 100"):
        simulate(noise, index=number, camera=Camera(most=100))
    with pytest.raises(ValueError, match="threshold"):
        Camera(threshold=0.0)
