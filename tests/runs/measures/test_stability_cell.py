"""One start: when it failed, and that it comes back as it was kept."""

import json
import math

import pytest

from bntt.analysis.stability.gradients import AlongGradient
from bntt.io.checkpoint import CheckpointError
from bntt.runs.measures.stability_cell import Cell, Moment, as_json, read_cell, write_cell
from bntt.runs.recipe.file import RecipeError

ALONG = AlongGradient((0.1, 0.2), 2.3, 1.5, (2.0, 2.5), (0.3, 0.6))
LOST = AlongGradient((0.1, 0.2), 2.3, math.inf, (math.nan, math.inf), (math.nan, math.nan))


def cell(accuracy: float = 0.5, along: AlongGradient = ALONG, **values) -> Cell:
    moment = Moment(5, {"conv1": [0.25, 0.0], "fc1": [math.nan, 1.0]}, along)
    return Cell(
        **{"network": "vgg6", "norm": "bn", "rate": 0.3, "start": 1, "updates": 10} | values,
        accuracy=accuracy,
        chance=0.1,
        moments=(moment,),
    )


def test_a_start_fails_below_twice_chance_or_without_numbers():
    assert [cell(a).failed for a in (0.2, 0.1999, math.nan)] == ["", "near chance", "not finite"]


def test_it_comes_back_as_it_was_kept(tmp_path):
    path, settings = tmp_path / "x.json", {"steps": 10, "data": {"augment": ("flip",)}}
    write_cell(path, cell(), settings)
    back = read_cell(path, settings)
    assert as_json(back) == as_json(cell())
    assert back.moments[0].along == ALONG
    assert math.isnan(back.moments[0].gradient["fc1"][0])
    assert isinstance(back.moments[0].along.loss, tuple)


def test_what_is_not_finite_is_null(tmp_path):
    path = tmp_path / "x.json"
    write_cell(path, cell(math.nan, LOST), {})
    values = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert (values["accuracy"], values["failed"]) == (None, "not finite")
    assert values["moments"][0]["along"]["loss"] == [None, None]
    back = read_cell(path, {})
    assert back.failed == "not finite"
    assert all(map(math.isnan, back.moments[0].along.loss))


def test_other_settings_are_refused(tmp_path):
    write_cell(tmp_path / "x.json", cell(), {"steps": 10, "images": 100, "seed": 0})
    with pytest.raises(RecipeError, match=r"x.json is of another grid, whose images, steps differ: .* --out"):
        read_cell(tmp_path / "x.json", {"steps": 20, "images": 50, "seed": 0})


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": {}, "failed": ""}', '{"settings": 1, "moments": [3]}'])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"x.json is damaged .*: delete it"):
        read_cell(tmp_path / "x.json", {})
