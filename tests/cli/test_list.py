"""``bntt list`` and ``bntt show``."""

import re
import tomllib

from bntt.cli import main as cli
from bntt.io.files import names_in
from bntt.models import PRETRAINED
from bntt.nn import NORMS
from bntt.runs.recipe.file import load_recipe, parse_recipe
from tests.rows import each_row


@each_row(
    "what, some", [("recipes", "cifar10-small"), ("models", "vgg11"), ("norms", "bn-pooled"), ("studies", "table-5")]
)
def test_names(what, some, capsys):
    assert cli.main(["list", what]) == 0
    assert some in [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_trained_networks_are_a_table(capsys):
    assert cli.main(["list", "pretrained"]) == 0
    heads, *rows, _ = (re.split("  +", row) for row in capsys.readouterr().out.splitlines())
    assert [row[0] for row in rows] == list(PRETRAINED)
    first = ["fashion-mnist", "89.4% (88.8% to 90.0%)", "8", "7,959", "4.84 µJ", "0.90 MB"]
    assert (heads[0], rows[0][1:-1]) == ("name", first)


def test_backends_and_what_they_do_for_every_norm_neuron_and_block(capsys):
    assert cli.main(["list", "backends"]) == 0
    shown = capsys.readouterr().out
    parts = {"LIF", "LIF, learned leak", "LIF, input decays", "PLIF", "FoldedLIF", "MaxPool2d", "SpikeDropout"}
    assert {*NORMS, *parts, "Residual"} <= {*re.findall(r"^  (.*?) +fused in training and evaluation$", shown, re.M)}


@each_row("name", names_in("runs/recipes"))
def test_a_recipe_that_is_shown_loads_as_itself(name, capsys):
    assert cli.main(["show", name, "-s", "seed=3"]) == 0
    assert parse_recipe(tomllib.loads(capsys.readouterr().out)) == load_recipe(name, ["seed=3"])


def test_notes_are_of_the_recipes_own_data():
    assert "CIFAR-10" in load_recipe("cifar10-small", ["train.lr=0.1"]).notes
    assert "other data" in load_recipe("cifar10-small", ["data.name=synthetic"]).notes
    assert load_recipe("cifar10-small", ["data.name=synthetic", "notes=mine"]).notes == "mine"
