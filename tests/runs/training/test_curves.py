"""A training epoch by epoch: charts, and TensorBoard events where tensorboard is."""

import io
import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from bntt.charts.files import draw_figure
from bntt.charts.records import Figure
from bntt.runs.training import curves
from bntt.runs.training.curves import best_epoch, training_curves


def rows(epochs, layers=3, every=1):
    """As ``metrics.jsonl`` has them; validation and firing rates in every so many epochs."""
    names = [f"conv{number + 1}" for number in range(layers)]
    validated = {
        epoch: {
            "validation_accuracy": 0.9 - abs(epoch - epochs // 2) / 400,
            "firing_rate": {name: 0.01 * (i + 1) for i, name in enumerate(names)},
        }
        for epoch in range(every - 1, epochs, every)
    }
    return [
        {
            **{"epoch": epoch, "train_loss": 2.3 / (epoch + 1), "train_accuracy": epoch / epochs},
            **{"lr": 0.3 * 0.1 ** (4 * epoch // epochs), "gamma": dict.fromkeys(names, 1 - epoch / (2 * epochs))},
            **validated.get(epoch, {"validation_accuracy": None, "firing_rate": None}),
        }
        for epoch in range(epochs)
    ]


@pytest.mark.parametrize(("epochs", "layers"), [(1, 2), (300, 19)])
def test_curves_of_few_and_many_epochs(epochs, layers):
    charts = training_curves(rows(epochs, layers))
    loss, accuracy, rate, firing, gamma = charts
    assert (loss.lines[0].x[0], loss.lines[0].y[0], loss.lines[0].x[-1]) == (1, 2.3, epochs)
    assert [line.name for line in accuracy.lines] == ["training", "validation"]
    assert rate.y.scale == ("log" if epochs > 1 else "linear")
    assert len(firing.lines) == len(gamma.lines) == layers
    assert firing.lines[1].y[0] == pytest.approx(0.02)
    assert draw_figure(Figure("a run", charts))


def test_the_best_epoch_is_marked_and_epochs_without_a_value_are_passed_over():
    _, accuracy, _, rates, gamma = training_curves(rows(20, every=5))
    assert accuracy.lines[1].x == rates.lines[0].x == [5, 10, 15, 20]
    assert len(gamma.lines[0].x) == 20
    assert [(level.value, level.at) for level in accuracy.levels] == [(10, "x")]
    assert best_epoch([{**row, "validation_accuracy": 0.5} for row in rows(4)]) == (1, 0.5), "the first of equals"
    for kept, best in ((1, 3), 4), ((), None):  # the last that a run kept
        found = best_epoch([{**row, "best": row["epoch"] in kept} for row in rows(5)])
        assert (found and found[0]) == best


def test_what_rows_do_not_have_has_no_chart_and_what_is_not_finite_is_open():
    plain = [{key: row[key] for key in ("epoch", "train_loss", "train_accuracy", "lr")} for row in rows(4)]
    assert [chart.y.label for chart in training_curves(plain)] == ["loss", "accuracy", "learning rate"]
    plain[2]["train_loss"], plain[3]["train_loss"], plain[0]["lr"] = math.nan, math.inf, 0.0
    loss, _, rate = training_curves(plain)
    assert loss.lines[0].y == [2.3, 1.15, None, None]
    assert rate.y.scale == "linear", "a rate of 0 has no logarithm"
    assert training_curves([]) == []


ROW = {
    **{"epoch": 0, "train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": 1.5, "validation_accuracy": 0.25},
    **{"lr": 0.3, "firing_rate": {"conv1": 0.125, "block1.after": 0.5}, "gamma": {"conv1": 0.75}},
}


def read(folder):
    """Every curve as ``{name: [(epoch, value), ...]}``, as TensorBoard itself reads the folder, and its images."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    scalars, images = (events.Tags()[kind] for kind in ("scalars", "images"))
    pictures = {tag: [Image.open(io.BytesIO(e.encoded_image_string)) for e in events.Images(tag)] for tag in images}
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in scalars}, pictures


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with curves.event_writer(tmp_path) as write:
        assert write is None
    assert not list(tmp_path.iterdir())


def test_with_it_every_number_that_an_epoch_has(tmp_path):
    pytest.importorskip("tensorboard")
    with curves.event_writer(tmp_path) as write:
        write(0, ROW, {"conv1": torch.tensor([[0.5, 0.0, 0.25]])})
        write(1, {"train_loss": 0.5, "validation_accuracy": None, "firing_rate": None, "gamma": {"conv1": 0.5}}, {})
        assert read(tmp_path)[0]["train_loss"] == [(0, 1.0), (1, 0.5)], "at once, not when the run ends"
    found, images = read(tmp_path)
    assert found.keys() == {*curves.EVERY_EPOCH, "firing_rate/conv1", "firing_rate/block1.after", "gamma/conv1"}
    assert [found[name] for name in ("validation_accuracy", "firing_rate/block1.after")] == [[(0, 0.25)], [(0, 0.5)]]
    assert found["gamma/conv1"] == [(0, 0.75), (1, 0.5)]
    (image,) = images["gammas/conv1"]
    assert [image.getpixel((channel, 0))[0] for channel in range(3)] == [255, 0, 127], "from 0 to the largest"


@pytest.mark.parametrize("first", [0, 2])
def test_a_resumed_run_hides_what_it_writes_again(first, tmp_path, monkeypatch):
    """Epochs 0-3 were written, the checkpoint is of an earlier one; the resumed run gets no further than epoch 2."""
    writers = pytest.importorskip("tensorboard.summary.writer.event_file_writer")
    seconds = itertools.count(1_700_000_000)  # of one second, a process's tenth file would be read before its ninth
    monkeypatch.setattr(writers, "time", SimpleNamespace(time=lambda: next(seconds)))
    with curves.event_writer(tmp_path) as write:
        for epoch in range(4):
            write(epoch, ROW, {})
    with curves.event_writer(tmp_path, first_epoch=first) as write:
        for epoch in range(first, 3):
            write(epoch, ROW | {"train_loss": 9.0}, {})
    assert read(tmp_path)[0]["train_loss"] == [(epoch, 1.0 if epoch < first else 9.0) for epoch in range(3)]
