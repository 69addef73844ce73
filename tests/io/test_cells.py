"""Cells of a long computation: they come back as they were kept, and only for the settings that they are of."""

import json

import pytest

from bntt.io.cells import OtherSettingsError, hold_cells, read_cell, write_cell
from bntt.io.checkpoint import CheckpointError
from bntt.io.lock import RunLockedError

SETTINGS = {"steps": 10, "data": {"augment": ("flip",)}}


def parse(values):
    return values["loss"]


def test_a_cell_comes_back_as_it_was_kept(tmp_path):
    path = tmp_path / "cell.json"
    assert read_cell(path, SETTINGS, parse) is None
    write_cell(path, SETTINGS, {"loss": 0.5})
    assert read_cell(path, SETTINGS, parse) == 0.5
    assert list(json.loads(path.read_text())) == ["settings", "loss"]


def test_other_settings_are_named(tmp_path):
    path = tmp_path / "cell.json"
    write_cell(path, {"steps": 10, "images": 100, "seed": 0}, {"loss": 0.5})
    with pytest.raises(OtherSettingsError, match=r"cell.json was .* settings \(images, rate, steps differ\): .* --out"):
        read_cell(path, {"steps": 20, "images": 50, "seed": 0, "rate": 1.0}, parse)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"settings": {}}', '{"settings": 1, "loss": 1}', "3"])
def test_a_damaged_file_is_named(text, tmp_path):
    (tmp_path / "cell.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"cell.json is damaged .*: delete it, and it is computed again"):
        read_cell(tmp_path / "cell.json", {}, parse)


def test_one_process_works_in_a_folder(tmp_path):
    place = tmp_path / "new" / "cells"
    with hold_cells(place), pytest.raises(RunLockedError), hold_cells(place):
        raise AssertionError("it is held")
