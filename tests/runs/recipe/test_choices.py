"""Every name of the library can stand in a recipe, with no list of names beside the library's."""

import pytest

from bntt.data.augment import AUGMENTATIONS
from bntt.data.mix import MIXES
from bntt.data.registry import DATASETS
from bntt.models import MODELS, spiking
from bntt.nn import NORMS
from bntt.runs.recipe.file import parse_recipe
from tests.runs.recipe.test_schema import changed

NAMES = {
    ("data", "name"): DATASETS,
    ("data", "augment"): AUGMENTATIONS,
    ("data", "mix"): ("", *MIXES),
    ("network", "name"): MODELS,
    ("network", "norm"): NORMS,
    ("network", "fire"): spiking.FIRE_RULES,
    ("network", "reset"): spiking.RESETS,
    ("network", "surrogate"): spiking.SURROGATES,
}


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, names in NAMES.items() for name in names])
def test_every_name_of_the_library_can_stand_in_a_recipe(key, name):
    table, last = key
    value = [name] if last == "augment" else name
    assert getattr(getattr(parse_recipe(changed(**{table: {last: value}})), table), last) == value


@pytest.mark.parametrize("entry", ["norm", "surrogate"])
def test_a_name_that_is_added_is_known_at_once(entry, monkeypatch):
    known = {"norm": NORMS, "surrogate": spiking.SURROGATES}[entry]
    monkeypatch.setitem(known, "mine", next(iter(known.values())))
    assert getattr(parse_recipe(changed(network={entry: "mine"})).network, entry) == "mine"
