"""``bntt show`` prints a recipe that loads as itself."""

import tomllib

from bntt.cli import main as cli
from bntt.runs.recipe import recipe_names
from bntt.runs.recipe.file import load_recipe, parse_recipe


def test_every_recipe(capsys):
    for name in recipe_names():
        assert cli.main(["show", name, "-s", "seed=3"]) == 0
        shown = parse_recipe(tomllib.loads(capsys.readouterr().out))
        assert shown == load_recipe(name, ["seed=3"]), name
