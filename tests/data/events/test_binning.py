"""Events to frames against a loop written out, and that no event is lost."""

import numpy as np
import pytest
import torch

from bntt.data.events import binning
from bntt.data.events.binning import Binning, Events, count_edges, time_edges, to_frames
from tests.rows import each_row


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
def test_the_frames_are_those_of_the_loop(shape, by, table, monkeypatch):
    monkeypatch.setattr(binning, "LARGEST_TABLE", table)
    events, chosen = some(1500), Binning(*shape, by=by)
    frames = to_frames(events, chosen)
    assert torch.equal(frames.counts.long(), by_hand(events, chosen))
    assert int(frames.counts.long().sum()) == len(events)
    binary = to_frames(events, Binning(*shape, by=by, cells="binary"))
    assert torch.equal(binary.counts, (frames.counts.long() > 0).to(torch.uint8))
    assert (frames.saturated, binary.saturated) == (0, 0)


@each_row(("height", "width"), [(42, 42), (48, 48), (128, 128)])
def test_the_sizes_of_dvs_cifar10_keep_every_event(height, width):
    events = some(3000, 128, 128)
    counts = to_frames(events, Binning(20, height, width)).counts
    assert (counts.dtype, int(counts.long().sum())) == (torch.uint8, 3000)
    every = Events(
        np.zeros(128 * 128, np.int64), *np.indices((128, 128)).reshape(2, -1), np.zeros(128 * 128, int), 128, 128
    )
    assert to_frames(every, Binning(1, height, width)).counts[0, 0].min() > 0, "every cell has pixels"


def test_the_last_event_is_in_the_last_step():
    counts = to_frames(some(), Binning(9, 4, 4)).counts
    assert (counts.long().flatten(1).sum(1) > 0).all()


def test_all_at_one_time():
    events = some(100, span=1)
    by_time, by_count = (to_frames(events, Binning(4, 34, 40, by=by)) for by in ("time", "count"))
    assert by_time.counts.long().flatten(1).sum(1).tolist() == [100, 0, 0, 0]
    assert by_count.counts.long().flatten(1).sum(1).tolist() == [25, 25, 25, 25]
    assert (by_time.empty, by_count.empty) == (0.75, 0)


def test_more_steps_than_events():
    events = some(3)
    assert count_edges(events, 7).tolist() == [0, 0, 0, 1, 1, 2, 2, 3]
    frames = to_frames(events, Binning(7, 34, 40, by="count"))
    assert (int(frames.counts.long().sum()), frames.empty) == (3, pytest.approx(4 / 7))


def test_times_as_far_apart_as_they_can_be():
    zeros = np.zeros(3, np.int64)
    events = Events(np.array([-(2**62), 0, 2**62]), zeros, zeros, zeros, 1, 1)
    assert time_edges(events, 4).tolist() == [0, 1, 1, 2, 3] or time_edges(events, 4).tolist() == [0, 1, 2, 2, 3]


def same_cell(count):
    return Events(np.arange(count), *(np.zeros(count, np.int64) for _ in range(3)), 2, 2)


@each_row(("count", "kind"), [(255, torch.uint8), (256, torch.uint16), (65_535, torch.uint16)])
def test_a_full_cell_widens(count, kind):
    frames = to_frames(same_cell(count), Binning(1, 2, 2))
    assert (frames.counts.dtype, int(frames.counts.long()[0, 0, 0, 0]), frames.saturated) == (kind, count, 0)


def test_a_full_cell_saturates_by_choice_and_says_so():
    frames = to_frames(same_cell(600), Binning(2, 2, 2, beyond="saturate"))
    assert (frames.counts.dtype, frames.counts.long().sum().item(), frames.saturated) == (torch.uint8, 510, 90)
    assert to_frames(same_cell(255), Binning(1, 2, 2, beyond="saturate")).saturated == 0


def test_a_cell_that_16_bits_do_not_hold():
    with pytest.raises(ValueError, match="a cell of step 0 holds 65536 events, more than 65535: take more steps"):
        to_frames(same_cell(65_536), Binning(1, 2, 2))


def test_frames_larger_than_the_sensor():
    with pytest.raises(ValueError, match="frames of 35x40 are larger than the sensor, 34x40"):
        to_frames(some(), Binning(1, 35, 40))


def test_choices_that_there_are_not():
    for options, message in (
        ({"by": "events"}, 'by must be "time" or "count", got \'events\''),
        ({"cells": "on"}, 'cells must be "counts" or "binary", got \'on\''),
        ({"beyond": "wrap"}, 'beyond must be "widen" or "saturate", got \'wrap\''),
        ({"num_steps": 0}, "num_steps must be a whole number, 1 or more, got 0"),
        ({"width": -1}, "width must be a whole number, 1 or more, got -1"),
    ):
        binning = Binning(2, 2, 2)
        vars(binning).update(options)  # past the checks of types that tests have
        with pytest.raises(ValueError, match=message):
            binning.__post_init__()


@each_row("table", [1 << 20, 0])
@each_row("kind", ["u1", "i2", "u4", "i8", "u8"])
def test_places_of_any_integer_type(kind, table, monkeypatch):
    monkeypatch.setattr(binning, "LARGEST_TABLE", table)
    events, chosen = some(500), Binning(3, 17, 11)
    other = Events(events.t, *(getattr(events, name).astype(kind) for name in "xyp"), events.height, events.width)
    assert torch.equal(to_frames(other, chosen).counts, to_frames(events, chosen).counts)


@each_row("name", "xyp")
def test_places_that_are_no_integers_are_refused(name):
    events = some(50)
    vars(events)[name] = getattr(events, name) * 0.5  # past the checks of types that tests have
    with pytest.raises(TypeError, match="same_kind"):
        to_frames(events, Binning(3, 17, 11))
