"""What a run says of its recipe and data, and files of it that are damaged."""

import json
import re
from pathlib import Path

import pytest

from bntt.data.prepared import Manifest
from bntt.io.checkpoint import CheckpointError
from bntt.io.files import write_json
from bntt.runs.directory import RunDirectory
from bntt.runs.identity import (
    RESUMING,
    check_same_data,
    check_same_recipe,
    difference,
    recipe_changes,
    saved_exit,
    weights_hash,
)
from bntt.runs.recipe.file import dump_recipe, parse_recipe
from tests.rows import each_row
from tests.runs.recipe.test_schema import MINIMAL, changed

MANIFEST = Manifest("mnist", "/x", "published", {}, [], [], {"train": "1a", "test": "2b"})


CHECKPOINT = Path("run/checkpoints/best.safetensors")


@each_row(
    ("change", "keys", "allowed"),
    [
        (MINIMAL, "", True),
        (changed(data={"root": "/y"}), "data.root", True),
        (changed(evaluate={"draws": 3}), "evaluate.draws", True),
        (changed(compute={"recompute": 2}), "compute.recompute", True),
        (changed(checkpoint={"last": 9}), "checkpoint.last", True),
        ({**MINIMAL, "notes": "x"}, "notes", True),
        (changed(train={"epochs": 99}), "train.epochs", True),
        ({**MINIMAL, "seed": 1}, "seed", False),
        (changed(data={"validation": 0.3}), "data.validation", False),
        (changed(data={"images": 100}), "data.images", False),
        (changed(data={"augment": ["flip"]}), "data.augment", False),
        (changed(encoder={"name": "direct"}), "encoder.name", False),
        (changed(network={"norm": "bn"}), "network.norm", False),
        (changed(network={"decay_input": False}), "", True),
        (changed(network={"decay_input": True}), "network.decay_input", False),
        (changed(train={"lr_drops": [50]}), "train.lr_drops", False),
    ],
)
def test_which_keys_may_differ(change, keys, allowed):
    facts, recipe = {"recipe": dump_recipe(parse_recipe(MINIMAL))}, parse_recipe(change)
    differ = recipe_changes(recipe, parse_recipe(MINIMAL))
    assert list(differ) == keys.split()
    nameless = parse_recipe(changed(network={"norm": ""}))  # put together in Python: they had no name then
    assert recipe_changes(recipe, nameless).keys() == differ.keys() - {"network.norm"}
    if allowed:
        assert check_same_recipe(recipe, facts, CHECKPOINT, RESUMING) == differ
        return
    with pytest.raises(CheckpointError, match=rf"run was trained with another recipe \({re.escape(keys)} is "):
        check_same_recipe(recipe, facts, CHECKPOINT, RESUMING)


@each_row(
    ("notes", "message"),
    [
        ({}, r"it lacks 'recipe'\): train it again"),
        ({"recipe": "x = = 1"}, r"cannot be used \(.*\): train it again"),
        ({"recipe": "seed = -1"}, r"cannot be used \(.*\): train it again"),
    ],
)
def test_checkpoints_without_a_recipe(notes, message):
    with pytest.raises(CheckpointError, match=message):
        check_same_recipe(parse_recipe(MINIMAL), notes, CHECKPOINT, RESUMING)


def test_networks_differ_in_how_they_were_built():
    leak, other = "(lif): LIF(leak={} (mean of 3, learned))", {"encoder": "Mine"}
    then, now = ({"written": leak.format(value), "encoder": "Own"} for value in (0.9, 0.8))
    assert difference("", then, now) == difference("", {"written": then["written"]}, now | other) == ""
    assert difference("", then, now | other) == "'Mine' in place of 'Own'"
    kept = {"built": {"num_steps": 2, "seed": 1, "in_channels": 1}}
    for given, found in (
        ({"num_steps": 2, "seed": 2}, "in_channels = 3 in place of 1"),
        ({**kept["built"], "alpha_at_sums": 1.0}, "alpha_at_sums = 1.0 in"),
    ):
        assert difference("resnet20", kept, {"built": given}).startswith(found)
    assert difference("resnet20", kept, {"built": {**kept["built"], "seed": 3, "num_classes": 10}}) == ""


def test_the_same_data_passes(tmp_path):
    (tmp_path / "environment.json").write_text(json.dumps({"data": vars(MANIFEST)}))
    check_same_data(tmp_path, MANIFEST)


@each_row(
    ("content", "message"),
    [
        (None, "environment.json is missing"),
        (b"", "environment.json cannot be used"),
        (b"\xff\xfe", "environment.json cannot be used"),
        (b"[" * 100_000, r"environment.json cannot be used \(lists or tables are nested too deep"),
        (b"[1]", r"environment.json cannot be used \(.*\): only it says which data"),
        (b"{}", r"environment.json cannot be used \(.*\): only it says which data"),
        (b'{"data": "Fashion-MNIST"}', r"environment.json cannot be used \(.*\): only it says which data"),
        (b'{"data": {"sha256": "1a"}}', r"environment.json cannot be used \(.*\): only it says which data"),
        (b'{"data": {"sha256": {"train": "9"}}}', "was trained on other data than this: .* now it is mnist /x"),
    ],
)
def test_environments_that_cannot_vouch_for_the_data(content, message, tmp_path):
    if content is not None:
        (tmp_path / "environment.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        check_same_data(tmp_path, MANIFEST)


@pytest.fixture
def run(tmp_path):
    """A run with an exit after 2 of its 3 steps."""
    run = RunDirectory(tmp_path)
    run.best.parent.mkdir()
    run.best.write_bytes(b"weights")
    (tmp_path / "environment.json").write_text(json.dumps({"data": vars(MANIFEST)}))
    write_json(
        tmp_path / "exit.json", {"steps": 2, "weights_sha256": weights_hash(run), "data_sha256": MANIFEST.sha256}
    )
    return run


def test_what_is_kept_says_where_to_stop(run):
    assert saved_exit(run, 3) == 2


@each_row(("key", "what"), [("weights_sha256", "weights"), ("data_sha256", "data")])
def test_an_exit_of_other_weights_or_other_data(run, key, what):
    path = run.path / "exit.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: "0"}))
    with pytest.raises(CheckpointError, match=f"was chosen for other {what}"):
        saved_exit(run, 3)


@each_row(
    "text",
    ["", "{}", "[]", '{"steps": 0}', '{"steps": 4, "num_steps": 9, "weights_sha256": "", "data_sha256": ""}', "\xff"],
)
def test_a_damaged_exit(run, text):
    (run.path / "exit.json").write_text(text, encoding="latin-1")
    with pytest.raises(CheckpointError, match="cannot be used"):
        saved_exit(run, 3)


def test_no_exit_and_no_weights(run):
    (run.path / "exit.json").unlink()
    run.best.unlink()
    with pytest.raises(CheckpointError, match=r"exit\.json is missing: choose one: bntt exit"):
        saved_exit(run, 3)
    with pytest.raises(CheckpointError, match=r"best\.safetensors is missing"):
        weights_hash(run)
