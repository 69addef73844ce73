"""Attacks as a picture: a line for each over ε, its interval, clean images and chance, invalid points crossed out."""

import pytest

from bntt.runs.figures.attack_figure import save_attack
from tests.runs.figures.test_figures import PNG, drawn, values

__all__ = ["drawn"]


def row(attack, eps, accuracy, *, estimator="", invalid="", model="run0", on="run0"):
    return {
        "model": model,
        "crafted_on": on,
        "attack": attack,
        "estimator": estimator,
        "eps": eps / 255,
        "eps_255": eps,
        "accuracy": accuracy,
        "low_95": accuracy - 0.1,
        "high_95": accuracy + 0.1,
        "clean_accuracy": 0.9,
        "invalid": invalid,
    }


def result(rows, models=("run0",)):
    return {
        "rows": rows,
        "models": [{"name": name} for name in models],
        "classes": 10,
        "split": "test",
        "chosen": "100 of 200",
        "dataset": "$ of images",
    }


def test_what_is_drawn(tmp_path, drawn):
    rows = [
        row("pgd, no bound", 255.0, 0.0, estimator="expected"),
        row("fgsm", 8.0, 0.4, estimator="expected"),
        row("fgsm", 4.0, 0.6, estimator="expected", invalid="zero"),
        row("worst case", 4.0, 0.5, estimator="any", on="any"),
        row("worst case", 8.0, 0.3, estimator="any", on="any"),
    ]
    save_attack(result(rows), tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(PNG)
    (axes,) = drawn[0].axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines.keys() == {"FGSM, expected", "INVALID", "worst case", "clean images (90.0%)", "chance"}
    assert values(axes, 0) == [(0.0, 90.0), (4.0, 60.0), (8.0, 40.0)]
    assert values(axes, 1) == [(4.0, 60.0)]
    assert float(lines["clean images (90.0%)"].get_ydata()[0]) == 90
    assert float(lines["chance"].get_ydata()[0]) == 10
    bars, band = axes.collections
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [
        pytest.approx([50, 70]),
        pytest.approx([30, 50]),
    ]
    assert [float(segment[0, 0]) for segment in bars.get_segments()] == pytest.approx([4, 8], abs=0.2)
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (pytest.approx(20), pytest.approx(60))
    names = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert names[-3:] == ["worst case", "its 95% interval", "INVALID"]
    assert axes.get_ylim() == (0, 100)


def test_each_model_has_a_panel(tmp_path, drawn):
    rows = [
        row(attack, 8.0, 0.1, model=model, on=on)
        for model in ("a", "b")
        for attack, on in (("square", "a"), ("square", "b"), ("worst case", "any"))
    ]
    save_attack(result(rows, ("a", "b")), tmp_path / "x.png")
    assert [axes.get_title() for axes in drawn[0].axes] == ["a", "b"]
    first = [line.get_label() for line in drawn[0].axes[0].lines]
    assert first[:3] == ["Square (no gradients) (made on a)", "Square (no gradients) (made on b)", "worst case"]


def test_nothing_to_draw(tmp_path):
    with pytest.raises(ValueError, match="there is no attack"):
        save_attack(result([]), tmp_path / "x.png")
