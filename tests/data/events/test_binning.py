"""Events, and their frames against a loop written out: none is lost, and what cannot be is refused."""

import numpy as np
import pytest
import torch

from bntt.data.events import binning
from bntt.data.events.binning import Binning, Events, count_edges, time_edges, to_frames
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
