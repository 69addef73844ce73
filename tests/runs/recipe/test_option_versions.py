"""Options with a version of their own: what was kept under the old rule is not taken for the new, all else stays."""

import json
from pathlib import Path

import pytest

from bntt.io.checkpoint import CheckpointError, read_checkpoint, write_checkpoint
from bntt.runs.identity import check_same_rules, rules_facts, rules_of
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import load_recipe
from bntt.runs.training.train import train_run
from bntt.studies.pool import identity, kept_run
from tests.rows import each_row
from tests.runs import tiny
from tests.studies.kept import keep, small

IDENTITIES = {
    "cifar10": "e11c817f6662ed11",
    "cifar10-best": "b323cab1ddb4bd82",
    "demo": "9e56963d63f0dd10",
    "dvs-cifar10": "8acee86eefbf5b8f",
    "fashion-mnist": "d69ed76e68b6f388",
    "fashion-mnist-ann": "cab8c5f294359d45",
    "fashion-mnist-best": "a6e1b09f654dd4f5",
    "fashion-mnist-conversion": "ec8b4f6119f85eed",
    "fashion-mnist-growing": "e1b7f3aab0064777",
    "sequential-mnist": "b24c45118c8742f3",
    "tiny-imagenet": "09e88e4d45009111",
}
"""First digits of shipped recipes' identities before there were versions of options. Two of them warm up by update,
which was right: their kept runs still count."""
WARM = ("train.warmup=1", "train.schedule=cosine")


@each_row(("name", "digits"), IDENTITIES.items())
def test_recipes_that_use_nothing_that_changed_keep_their_identity_to_the_bit(name, digits):
    recipe = load_recipe(name)
    assert rules_facts(recipe) == {}
    assert identity(recipe).startswith(digits)


@each_row(
    ("overrides", "rules"),
    [
        ((), {}),
        (WARM, {"train.warmup": 2}),
        ((*WARM, "train.lr_every=step"), {}),
        (("train.warmup=0.5",), {"train.warmup": 2}),
    ],
)
def test_which_recipes_have_a_version(overrides, rules):
    assert rules_of(small(*overrides)) == rules


def test_kept_results_of_the_old_rule_are_not_taken_for_the_new_nor_an_ann_for_another(tmp_path):
    wanted = small(*WARM, "network.norm=none")
    ann = keep(tmp_path / "ann", wanted)
    begun = small(f"convert.ann={ann}", "network.norm=none")
    run, old = keep(tmp_path / "run", begun), kept_run(ann).identity
    assert old != identity(wanted), "it does not say that it was made under the new rule"
    assert kept_run(run).identity == identity(begun, old) != identity(begun, identity(wanted))
    environment = json.loads((ann / "environment.json").read_text())
    (ann / "environment.json").write_text(json.dumps(environment | rules_facts(wanted)))
    assert kept_run(ann).identity == identity(wanted)


def test_a_run_says_its_rules_and_one_of_the_old_rule_is_measured_and_not_resumed(tmp_path):
    recipe = tiny.recipe(train={"warmup": 1.0})
    data = tiny.parts(recipe)
    folder = tiny.stopped(recipe, data, tmp_path)
    assert json.loads((folder.path / "environment.json").read_text())["rules"] == {"train.warmup": 2}
    for path in (*folder.checkpoints.paths(), folder.best):
        tensors, facts = read_checkpoint(path)
        assert facts.pop("rules") == {"train.warmup": 2}
        load_run(folder.path)
        write_checkpoint(path, tensors, facts)  # as a version before this wrote it
    with pytest.raises(CheckpointError, match=r"train\.warmup: it was version 1, here it is 2"):
        list(train_run(recipe, data, folder, resume=True))
    load_run(folder.path)  # its weights mean what they meant


@each_row(
    ("rules", "resuming", "named"),
    [
        ({"train.warmup": 3}, True, r"train\.warmup"),
        ({"train.warmup": 2, "x.y": 2}, True, r"x\.y"),
        ({"train.warmup": 2, "x.y": 2}, False, r"x\.y"),  # as of a neuron that means something else
    ],
)
def test_rules_of_a_later_version_are_refused(rules, resuming, named):
    with pytest.raises(CheckpointError, match=named):
        check_same_rules(small(*WARM), {"rules": rules}, Path("run/checkpoints/best.safetensors"), resuming=resuming)
