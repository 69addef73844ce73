"""Pictures of runs: what they show, whole numbers where they count, and that they are whole files."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from bntt.analysis import GammaProfile, Prediction
from bntt.data.images.picture import Picture
from bntt.runs.figures.figures import save_curves, save_overview, save_predictions
from tests.cli.test_console import outcome

PNG = b"\x89PNG"


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved."""
    found, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **options: found.append(self) or save(self, *args, **options)
    )
    return found


def rows(epochs: int, layers: int = 3, every: int = 1) -> list[dict]:
    """As ``metrics.jsonl`` has them; validation and firing rates in every so many epochs."""
    names = [f"conv{number + 1}" for number in range(layers)]
    return [
        {
            "epoch": epoch,
            "train_loss": 2.3 / (epoch + 1),
            "train_accuracy": epoch / epochs,
            "validation_accuracy": 0.9 - abs(epoch - epochs // 2) / 400 if (epoch + 1) % every == 0 else None,
            "lr": 0.3 * 0.1 ** (4 * epoch // epochs),
            "seconds": 1.0,
            "best": False,
            "firing_rate": {name: 0.01 * (i + 1) for i, name in enumerate(names)} if (epoch + 1) % every == 0 else None,
            "gamma": dict.fromkeys(names, 1 - epoch / (2 * epochs)),
        }
        for epoch in range(epochs)
    ]


def ticks(axes) -> list[float]:
    low, high = axes.get_xlim()
    return [tick for tick in axes.get_xticks() if low <= tick <= high]


def values(axes, line: int = 0) -> list[tuple[float, float]]:
    return [tuple(point) for point in axes.lines[line].get_xydata().tolist()]


@pytest.mark.parametrize("with_gamma", [True, False])
def test_an_overview_shows_accuracy_gamma_and_rates(with_gamma, tmp_path, drawn):
    result = outcome(6)
    if not with_gamma:
        result = dataclasses.replace(result, gamma=GammaProfile({}, {}, {}, {}, {}))
    save_overview(result, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    labels = ["accuracy when stopped after this step (%)", "mean |γ| over channels", "firing rate (%)"]
    axes = drawn[0].axes
    assert [part.get_ylabel() for part in axes] == [labels[0], *labels[1:2] * with_gamma, labels[2]]
    assert axes[0].lines[-1].get_ydata().tolist() == pytest.approx([51.0] * 5 + [86.5])
    assert axes[-1].lines[0].get_ydata().tolist() == pytest.approx([0, 20, 40, 60, 80, 100])


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 25])
def test_steps_are_whole_numbers(steps, tmp_path, drawn):
    save_overview(outcome(steps), tmp_path / "x.png")
    for axes in drawn[0].axes:
        assert all(tick == int(tick) and 1 <= tick <= steps for tick in ticks(axes))
        assert len(ticks(axes)) == min(steps, len(ticks(axes))) >= min(steps, 3)
        assert axes.get_ylim()[0] == 0
        assert axes.get_ylim()[1] > max(y for line in axes.lines for y in line.get_ydata())


@pytest.mark.parametrize("epochs", [1, 2, 5, 300])
@pytest.mark.parametrize("layers", [2, 19])
def test_curves_of_few_and_many_epochs(epochs, layers, tmp_path, drawn):
    save_curves(rows(epochs, layers), tmp_path / "c.png", "a run")
    assert (tmp_path / "c.png").read_bytes().startswith(PNG)
    *axes, names = drawn[0].axes
    labels = ["loss", "accuracy (%)", "learning rate", "mean firing rate (%)", "mean |γ|"]
    assert [part.get_ylabel() for part in axes] == labels
    assert {part.get_xlabel() for part in axes} == {"epoch"}
    assert drawn[0].get_suptitle() == "a run"
    for part in axes:
        assert all(tick == int(tick) and 1 <= tick <= epochs for tick in ticks(part))
        assert ticks(part)
    loss = values(axes[0])
    assert loss[0] == (1, 2.3)
    assert loss[-1] == (epochs, pytest.approx(2.3 / epochs))
    assert len(axes[3].lines) == len(axes[4].lines) == layers
    assert values(axes[3], 1)[0] == (1, pytest.approx(2.0))
    assert values(axes[4], 1)[-1] == (epochs, pytest.approx(1 - (epochs - 1) / (2 * epochs)))
    legend = [text.get_text() for text in names.get_legend().get_texts()]
    assert legend == [f"conv{number + 1}" for number in range(layers)]
    assert axes[2].get_yscale() == ("log" if epochs > 1 else "linear")


def test_the_best_epoch_is_marked_and_gaps_are_left_out(tmp_path, drawn):
    save_curves(rows(20, every=5), tmp_path / "c.png", "a run")
    accuracy, rates, gamma = (drawn[0].axes[i] for i in (1, 3, 4))
    assert [x for x, _ in values(accuracy, 1)] == [x for x, _ in values(rates)] == [5, 10, 15, 20]
    assert len(values(gamma)) == 20
    assert values(accuracy, 2) == [(10, pytest.approx(89.75))]
    labels = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert labels == ["training", "validation", "best: 89.8%, epoch 10"]
    equal = [{**row, "validation_accuracy": 0.5} for row in rows(4)]
    save_curves(equal, tmp_path / "c.png", "a run")
    assert values(drawn[1].axes[1], 2) == [(1, 50)], "the first of equals, as a run keeps it"


def test_what_rows_do_not_have_has_no_place(tmp_path, drawn):
    plain = [{key: row[key] for key in ("epoch", "train_loss", "train_accuracy", "lr")} for row in rows(3)]
    save_curves(plain, tmp_path / "c.png", "a run")
    assert [axes.get_ylabel() for axes in drawn[0].axes] == ["loss", "accuracy (%)", "learning rate"]
    for row in plain:
        row |= {"firing_rate": {"conv1": 0.1}, "lr": 0.0}
    save_curves(plain, tmp_path / "c.png", "a run")
    shown = [axes.get_ylabel() for axes in drawn[1].axes if axes.axison]
    assert shown == ["loss", "accuracy (%)", "learning rate", "mean firing rate (%)"]
    assert drawn[1].axes[2].get_yscale() == "linear", "a rate of 0 has no logarithm"
    with pytest.raises(ValueError, match="there is no epoch to draw"):
        save_curves([], tmp_path / "c.png", "a run")


def test_layers_have_one_colour_each_in_their_order(tmp_path, drawn):
    """A current has γ and no spikes, the neurons of a sum spikes and no γ."""
    row = rows(1)[0] | {"firing_rate": {"a": 0.1, "sum": 0.2}, "gamma": {"a": 1.0, "b": 0.5}}
    save_curves([row], tmp_path / "c.png", "a run")
    rates, gamma, names = drawn[0].axes[3:]
    assert [text.get_text() for text in names.get_legend().get_texts()] == ["a", "b", "sum"]
    colours = [line.get_color() for line in names.lines]
    assert len(set(colours)) == 3
    assert [line.get_color() for line in rates.lines] == [colours[0], colours[2]]
    assert [line.get_color() for line in gamma.lines] == colours[:2]


def test_a_loss_that_is_not_finite_leaves_the_rest_to_be_seen(tmp_path, drawn):
    lost = rows(4)
    lost[2]["train_loss"], lost[3]["train_loss"] = math.nan, math.inf
    save_curves(lost, tmp_path / "c.png", "a run")
    assert drawn[0].axes[0].get_ylim() == pytest.approx((0, 1.05 * 2.3))


def test_a_name_is_no_formula(tmp_path):
    name = r"$\nothing{$"
    save_curves(rows(2), tmp_path / "c.png", name)
    save_overview(dataclasses.replace(outcome(2), dataset=name), tmp_path / "o.png")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_picture_is_whole_or_the_one_before(error, tmp_path, monkeypatch):
    path, save = tmp_path / "c.png", Figure.savefig
    save_curves(rows(2), path, "a run")
    before = path.read_bytes()

    def half(self, file, **options):
        file.write(PNG)
        raise error

    for write in (lambda: save_curves(rows(3), path, "a run"), lambda: save_overview(outcome(3), path)):
        monkeypatch.setattr(Figure, "savefig", half)
        with pytest.raises(type(error)):
            write()
        assert [file.name for file in tmp_path.iterdir()] == ["c.png"]
        assert path.read_bytes() == before
        monkeypatch.setattr(Figure, "savefig", save)
    save_curves(rows(3), path, "a run")
    assert path.read_bytes() != before


def test_predictions_stand_beside_their_pictures(tmp_path, drawn):
    names = ("_cat", "$dog$", "fox", "owl")
    pixels = torch.arange(2 * 3, dtype=torch.uint8).reshape(1, 2, 3)
    gray = Picture(Path("a$b$.png"), pixels, ())
    colour = Picture(Path("c" * 27), pixels.expand(3, -1, -1), ())
    first = Prediction(names, torch.tensor([[0.5, 0.3, 0.2, 0.0], [0.2, 0.7, 0.1, 0.0], [0.1, 0.8, 0.1, 0.0]]))
    save_predictions([(gray, first), (colour, Prediction(names, first.confidence[:1]))], tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    left, right, other, single = drawn[0].axes
    assert other.get_title() == "c" * 19 + "…"
    assert np.array_equal(left.images[0].get_array(), np.stack([pixels[0].numpy()] * 3, 2))
    assert left.get_title() == r"a\$b\$.png"
    lines = {line.get_label(): line.get_ydata() for line in right.lines[:3]}
    assert list(lines) == [r"80.0%  \$dog\$", "10.0%  _cat", "10.0%  fox"]
    assert lines["10.0%  _cat"] == pytest.approx([50, 20, 10])
    assert right.lines[0].get_xdata() == pytest.approx([1, 2, 3])
    assert right.lines[3].get_xdata() == [2, 2]
    assert right.get_title() == r"\$dog\$, from step 2 on"
    for axes in (right, single):
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert shown == [1, 2, 3][: len(shown)]
        assert shown
