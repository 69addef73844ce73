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
    ("key", "change", "allowed"),
    [
        ("", MINIMAL, True),
        ("", changed(network={"decay_input": False}), True),
        ("data.root", changed(data={"root": "/y"}), True),
        ("evaluate.draws", changed(evaluate={"draws": 3}), True),
        ("compute.recompute", changed(compute={"recompute": 2}), True),
        ("checkpoint.last", changed(checkpoint={"last": 9}), True),
        ("notes", {**MINIMAL, "notes": "x"}, True),
        ("train.epochs", changed(train={"epochs": 99}), True),
        ("seed", {**MINIMAL, "seed": 1}, False),
        ("data.validation", changed(data={"validation": 0.3}), False),
        ("data.images", changed(data={"images": 100}), False),
        ("data.augment", changed(data={"augment": ["flip"]}), False),
        ("encoder.name", changed(encoder={"name": "direct"}), False),
        ("network.norm", changed(network={"norm": "bn"}), False),
        ("network.decay_input", changed(network={"decay_input": True}), False),
        ("train.lr_drops", changed(train={"lr_drops": [50]}), False),
    ],
)
def test_which_keys_may_differ(key, change, allowed):
    facts, recipe = {"recipe": dump_recipe(parse_recipe(MINIMAL))}, parse_recipe(change)
    differ = recipe_changes(recipe, parse_recipe(MINIMAL))
    assert list(differ) == key.split()
    nameless = parse_recipe(changed(network={"norm": ""}))  # put together in Python: they had no name then
    assert recipe_changes(recipe, nameless).keys() == differ.keys() - {"network.norm"}
    if allowed:
        assert check_same_recipe(recipe, facts, CHECKPOINT, RESUMING) == differ
        return
    with pytest.raises(CheckpointError, match=rf"^run .*\({re.escape(key)} is "):
        check_same_recipe(recipe, facts, CHECKPOINT, RESUMING)


@each_row("notes", [{}, {"recipe": "x = = 1"}, {"recipe": "seed = -1"}])
def test_checkpoints_without_a_recipe(notes):
    with pytest.raises(CheckpointError, match=str(CHECKPOINT)):
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


@each_row(
    "content",
    [
        None,
        *(b"", b"\xff\xfe", b"[" * 100_000, b"[1]", b"{}"),
        *(b'{"data": "Fashion-MNIST"}', b'{"data": {"sha256": "1a"}}'),
        b'{"data": {"sha256": {"train": "9"}}}',
    ],
)
def test_environments_that_cannot_vouch_for_the_data(content, tmp_path):
    if content is not None:
        (tmp_path / "environment.json").write_bytes(content)
    with pytest.raises(CheckpointError, match="other data" if content and b"9" in content else r"environment\.json"):
        check_same_data(tmp_path, MANIFEST)


@pytest.fixture
def run(tmp_path):
    """A run with an exit after 2 of its 3 steps."""
    run = RunDirectory(tmp_path)
    run.best.parent.mkdir()
    run.best.write_bytes(b"weights")
    (tmp_path / "environment.json").write_text(json.dumps({"data": vars(MANIFEST)}))
    kept = {"steps": 2, "weights_sha256": weights_hash(run), "data_sha256": MANIFEST.sha256}
    write_json(tmp_path / "exit.json", kept)
    check_same_data(tmp_path, MANIFEST)
    return run


def test_what_is_kept_says_where_to_stop_for_these_weights_and_data(run):
    assert saved_exit(run, 3) == 2
    kept = json.loads((run.path / "exit.json").read_text())
    damaged = ["", "{}", "[]", json.dumps({**kept, "steps": 0}), json.dumps({**kept, "steps": 4}), "\xff"]
    other = [json.dumps({**kept, f"{key}_sha256": "0"}) for key in ("weights", "data")]
    for text, named in [*((text, r"exit\.json") for text in damaged), (other[0], "weights"), (other[1], "other data")]:
        (run.path / "exit.json").write_text(text, encoding="latin-1")
        with pytest.raises(CheckpointError, match=named):
            saved_exit(run, 3)
    (run.path / "exit.json").unlink()
    run.best.unlink()
    with pytest.raises(CheckpointError, match=r"exit\.json is missing"):
        saved_exit(run, 3)
    with pytest.raises(CheckpointError, match=r"best\.safetensors is missing"):
        weights_hash(run)
