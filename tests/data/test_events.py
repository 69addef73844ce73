"""Events become frames as a loop says, and a simulated camera says what a slow twin says."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from bntt.data import ImageSet, fashion_mnist_bundled
from bntt.data.events import binning
from bntt.data.events import camera as module
from bntt.data.events.binning import Binning, Events, count_edges, time_edges, to_frames
from bntt.data.events.camera import Camera, _crossings, _enlarged, _loop, simulate, simulate_set
from bntt.data.events.formats import SIMULATED, read_aedat2
from bntt.data.samples import some_of
from bntt.io.errors import DataError
from tests.rows import each_row

GOOD = {"t": [3, 3, 8, 9], "x": [0, 3, 1, 2], "y": [2, 0, 1, 1], "p": [0, 1, 1, 0]}


def build(height=3, width=4, **changes):
    arrays = {name: np.array(values) for name, values in {**GOOD, **changes}.items()}
    return Events(**arrays, height=height, width=width)


def test_duration_counts_both_ends():
    assert (len(build()), build().duration, build(t=[5, 5, 5, 5]).duration) == (4, 7, 1)


@each_row(
    ("make", "named"),
    [
        (lambda: build(t=[3, 3, 8, 7]), "event 3: time .* 8 to 7"),
        (lambda: build(x=[0, 4, 1, 2]), "event 1: .* x .*3, got 4"),
        (lambda: build(x=[-1, 3, 1, 2]), "event 0: .* x .*3, got -1"),
        (lambda: build(y=[2, 0, 3, 1]), "event 2: .* y .*2, got 3"),
        (lambda: build(p=[0, 1, 1, 2]), "event 3: .* polarity .*got 2"),
        (lambda: build(p=[0, -1, 1, 0]), "event 1: .* polarity .*got -1"),
        (lambda: build(p=[0, 1]), r"\[\(4,\), \(4,\), \(4,\), \(2,\)\]"),
        (lambda: build(t=np.array([3, 3, 8, 9], np.int32)), "t .* int32"),
        (lambda: build(width=0), "3 and 0"),
        (lambda: build(height=1 << 20), "1048576 and 4"),
        (lambda: build(**{name: np.zeros(0, np.int64) for name in "txyp"}), "no event"),
    ],
)
def test_events_that_cannot_be(make, named):
    with pytest.raises(ValueError, match=named):
        make()


def some(count=5000, height=34, width=40, span=100_000, seed=0):
    rng = np.random.default_rng(seed)
    t = np.sort(rng.integers(0, span, count)) + 777
    return Events(t, *(rng.integers(0, n, count).astype("u2") for n in (width, height, 2)), height, width)


def by_hand(events, chosen):
    """One event after the other, as the docstrings say."""
    counts = np.zeros((chosen.num_steps, 2, chosen.height, chosen.width), int)
    first, duration = int(events.t[0]), int(events.t[-1]) - int(events.t[0]) + 1
    for number in range(len(events)):
        t, x, y, p = (int(getattr(events, name)[number]) for name in "txyp")
        if chosen.by == "time":
            step = (t - first) * chosen.num_steps // duration
        else:  # the last step that begins at or before this event
            step = max(k for k in range(chosen.num_steps) if k * len(events) // chosen.num_steps <= number)
        counts[step, p, y * chosen.height // events.height, x * chosen.width // events.width] += 1
    return torch.from_numpy(counts)


@each_row("table", [1 << 20, 0])
@each_row("by", ["time", "count"])
@each_row("shape", [(20, 34, 40), (7, 17, 11), (1, 1, 1), (3, 33, 39)])
def test_the_frames_are_those_of_the_loop_for_places_of_any_integer_type(shape, by, table, monkeypatch):
    monkeypatch.setattr(binning, "LARGEST_TABLE", table)
    events, chosen = some(1500), Binning(*shape, by=by)
    frames = to_frames(events, chosen)
    assert torch.equal(frames.counts.long(), by_hand(events, chosen))
    binary = to_frames(events, Binning(*shape, by=by, cells="binary"))
    assert torch.equal(binary.counts, (frames.counts.long() > 0).to(torch.uint8))
    assert (frames.saturated, binary.saturated) == (0, 0)
    for kind in ("u1", "i2", "u4", "i8", "u8"):
        other = Events(events.t, *(getattr(events, name).astype(kind) for name in "xyp"), events.height, events.width)
        assert torch.equal(to_frames(other, chosen).counts, frames.counts), kind


@each_row("side", [42, 48, 128])
def test_at_the_sizes_of_dvs_cifar10_every_cell_has_pixels(side):
    pixels = np.indices((128, 128)).reshape(2, -1)
    every = Events(np.zeros(128 * 128, np.int64), *pixels, np.zeros(128 * 128, int), 128, 128)
    counts = to_frames(every, Binning(1, side, side)).counts
    assert (counts.dtype, counts[0, 0].min() > 0, int(counts.long().sum())) == (torch.uint8, True, 128 * 128)


def test_the_last_event_is_in_the_last_step_and_empty_frames_are_counted():
    assert (to_frames(some(), Binning(9, 4, 4)).counts.long().flatten(1).sum(1) > 0).all()
    by_time, by_count = (to_frames(some(100, span=1), Binning(4, 34, 40, by=by)) for by in ("time", "count"))
    assert by_time.counts.long().flatten(1).sum(1).tolist() == [100, 0, 0, 0]
    assert by_count.counts.long().flatten(1).sum(1).tolist() == [25, 25, 25, 25]
    assert (by_time.empty, by_count.empty) == (0.75, 0)
    few = some(3)
    assert count_edges(few, 7).tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    frames = to_frames(few, Binning(7, 34, 40, by="count"))
    assert (int(frames.counts.long().sum()), frames.empty) == (3, pytest.approx(4 / 7))


def test_times_as_far_apart_as_they_can_be():
    zeros = np.zeros(3, np.int64)
    events = Events(np.array([-(2**62), 0, 2**62]), zeros, zeros, zeros, 1, 1)
    assert time_edges(events, 4).tolist() in ([0, 1, 1, 2, 3], [0, 1, 2, 2, 3])


def same_cell(count):
    return Events(np.arange(count), *(np.zeros(count, np.int64) for _ in range(3)), 2, 2)


def test_a_full_cell_widens_or_saturates_by_choice_and_says_so():
    for count, kind in ((255, torch.uint8), (256, torch.uint16), (65_535, torch.uint16)):
        frames = to_frames(same_cell(count), Binning(1, 2, 2))
        assert (frames.counts.dtype, int(frames.counts.long()[0, 0, 0, 0]), frames.saturated) == (kind, count, 0)
    frames = to_frames(same_cell(600), Binning(2, 2, 2, beyond="saturate"))
    assert (frames.counts.dtype, frames.counts.long().sum().item(), frames.saturated) == (torch.uint8, 510, 90)
    assert to_frames(same_cell(255), Binning(1, 2, 2, beyond="saturate")).saturated == 0


def test_frames_that_cannot_be(no_hook):
    for events, chosen, named in (
        (same_cell(65_536), Binning(1, 2, 2), "step 0 holds 65536"),
        (some(), Binning(1, 35, 40), "35x40"),
    ):
        with pytest.raises(ValueError, match=named):
            to_frames(events, chosen)
    for option in ({"by": "events"}, {"cells": "on"}, {"beyond": "wrap"}, {"num_steps": 0}, {"width": -1}):
        with pytest.raises(ValueError, match=next(iter(option))):
            Binning(**{"num_steps": 2, "height": 2, "width": 2} | option)
    for name in "xyp":
        events = some(50)
        vars(events)[name] = getattr(events, name) * 0.5
        with pytest.raises(TypeError, match="same_kind"):
            to_frames(events, Binning(3, 17, 11))


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


IMAGES = some_of(fashion_mnist_bundled().train, 100, seed=0)


def make(folder, **options):
    simulate_set(IMAGES, folder, **{"name": "tiny", "count": 10, **options})
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.aedat"))}


def test_as_many_of_each_class_every_event_of_their_images_and_headers_that_say_so(tmp_path):
    told = []
    folder = make(tmp_path / "set", seed=4, progress=lambda done, total: told.append((done, total)))
    assert told == [(number, 10) for number in range(1, 11)]
    labels = {path.name: len(list(path.iterdir())) for path in folder.iterdir()}
    assert set(labels.values()) == {1}
    assert {"T-shirt-top", "Ankle-boot"} <= labels.keys()
    for path in folder.rglob("*.aedat"):
        place = int(path.stem.rpartition("_")[2])
        assert IMAGES.classes[int(IMAGES.labels[place])].replace("/", "-").replace(" ", "-") == path.parent.name
        expected, read = simulate(IMAGES.images[place], seed=4, index=place)[0], read_aedat2(path)
        for name in "txyp":
            assert np.array_equal(getattr(read, name), getattr(expected, name))
        head = path.read_bytes()[:900].split(b"#End")[0].decode("ascii").splitlines()[1:5]
        begins = (SIMULATED, f"# Image {place} of tiny, SHA-256 ", "# Seed 4, Camera(size=128, ", "# Threshold ")
        assert all(map(str.startswith, head, begins))
    assert not list(tmp_path.glob("*.part"))


def test_what_was_stopped_goes_on_and_ends_the_same(tmp_path):
    whole = contents(make(tmp_path / "whole"))

    def stop(done, total):
        if done == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "set", progress=stop)
    part = tmp_path / "set.part"
    assert not (tmp_path / "set").exists()
    kept = contents(part)
    assert len(kept) == 7
    first, second = list(kept)[:2]
    (part / first).write_bytes(kept[first].replace(b"# Seed 0", b"# Seed 9"))  # of another seed: written again
    times = {name: (part / name).stat().st_mtime_ns for name in kept}
    assert contents(make(tmp_path / "set")) == whole
    assert (tmp_path / "set" / second).stat().st_mtime_ns == times[second]
    assert (tmp_path / "set" / first).stat().st_mtime_ns != times[first]


def of_classes(*names):
    return ImageSet(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.tensor([0, 1]), names)


def test_what_cannot_be_simulated(tmp_path):
    shutil.move(make(tmp_path / "there", seed=1), tmp_path / "set.part")
    (tmp_path / "there").mkdir()
    for folder, options, named in (
        ("there", {}, "there exists"),
        ("new", {"count": 0}, "tiny has 100 .* 0"),
        ("new", {"count": 101}, "tiny has 100 .* 101"),
        ("set", {"seed": 2}, "set.part holds"),  # what another seed left
    ):
        with pytest.raises(DataError, match=named):
            make(tmp_path / folder, **options)
    with pytest.raises(DataError, match="a-b, a-b"):
        simulate_set(of_classes("a b", "a-b"), tmp_path / "new", name="odd", count=2)
    simulate_set(of_classes("../a/b", "..."), tmp_path / "new", name="odd", count=2)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"a-b", "class"}
