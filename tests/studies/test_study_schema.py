"""Parts of a study's file."""

from bntt.studies.study_schema import SETTINGS, Place, RunPart, Setting


def test_a_run_has_a_place_at_every_setting():
    run = RunPart.model_validate({"name": "a", "small": {"recipe": "demo"}})
    assert [run.at(setting) for setting in SETTINGS] == [Place(), Place(recipe="demo")]


def test_three_starts_by_default():
    assert Setting().seeds == [0, 1, 2]
