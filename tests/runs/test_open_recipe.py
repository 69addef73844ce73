"""A recipe that a measurement trains: by name or file, changed, and on a device that is here."""

from pathlib import Path

import pytest

from bntt.runs.open_run import open_recipe
from bntt.runs.recipe.build import DeviceError
from bntt.runs.recipe.file import RecipeError


def test_it_says_what_is_known_without_training():
    found = open_recipe("demo", ["network.num_steps=2", "network.norm=bn"], folder=Path("x"))
    assert (found.path, found.device) == (Path("x"), "cpu")
    assert (found.facts.num_steps, found.facts.norm, found.facts.is_random) == (2, "bn", True)


def test_refusals():
    with pytest.raises(DeviceError, match="here: cpu"):
        open_recipe("demo", folder=Path("x"), device="tpu")
    with pytest.raises(RecipeError, match=r"did you mean .?demo"):
        open_recipe("demmo", folder=Path("x"))
