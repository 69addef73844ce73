"""Pictures of spikes and γ can be drawn, of a silent network too."""

import dataclasses

import pytest
import torch

from bntt.runs.figures.activity_figure import save_activity, save_gamma
from bntt.runs.measures.activity import activity_run
from bntt.runs.open_run import load_run
from tests.runs.measured import small_run


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return activity_run(load_run(small_run(tmp_path_factory.mktemp("runs")).path), split="validation")


def test_pictures_are_drawn(result, tmp_path):
    save_activity(result, tmp_path / "activity.png")
    save_gamma(result, tmp_path / "gamma.png")
    for name in ("activity", "gamma"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_silent_network_is_drawn(result, tmp_path):
    total = result.counted.total
    silent = dataclasses.replace(total, spikes={name: 0 * rows for name, rows in total.spikes.items()})
    nothing = {name: torch.zeros_like(rows) for name, rows in result.counted.by_class.items()}
    counted = dataclasses.replace(result.counted, total=silent, by_class=nothing)
    save_activity(dataclasses.replace(result, counted=counted), tmp_path / "activity.png")


def test_without_a_gamma_for_each_step_there_is_nothing_to_draw(result, tmp_path):
    with pytest.raises(ValueError, match="nothing to draw"):
        save_gamma(dataclasses.replace(result, spread={}), tmp_path / "gamma.png")
