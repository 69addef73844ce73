"""Which runs are the same, and what was kept of them."""

import json
import shutil
from dataclasses import asdict, replace
from hashlib import sha256

from bntt.io.files import write_json_lines
from bntt.runs.recipe.file import load_recipe
from bntt.studies.measures import measure_from
from bntt.studies.pool import (
    data_checksums,
    identity,
    kept_run,
    kept_runs,
    measured_values,
    why_data_is_missing,
)
from bntt.training.schedule import Rates
from tests.rows import each_row
from tests.studies.kept import bundled_sums, epochs, keep, small

ANN = ["convert.ann=runs/a", "network.norm=none"]


@each_row(
    ("changed", "same"),
    [
        *((one, True) for one in ("data.root=elsewhere", "data.label=x", "notes=x", "checkpoint.last=5")),
        *((one, True) for one in ("evaluate.batch_size=7", "compute.backend=reference", "compute.events=measured")),
        *((one, True) for one in ("compute.recompute=3", "compute.precision=bf16-grad", "network.decay_input=false")),
        *((one, False) for one in ("seed=1", "train.lr=0.2", "network.norm=bn", "evaluate.draws=2")),
        *((one, False) for one in ("compute.precision=bf16", "train.gamma_decay=0.0", "encoder.name=direct")),
        *((one, False) for one in ("evaluate.every=2", "network.decay_input=true", "init.run=runs/source")),
    ],
)
def test_what_changes_numbers_changes_the_identity_and_nothing_else_does(changed, same):
    assert (identity(small(changed)) == identity(small())) is same


def test_a_run_is_also_the_ann_that_it_begins_with():
    one, moved = small(*ANN), small("convert.ann=other/place", "network.norm=none")
    assert identity(one, "x") == identity(moved, "x")
    assert identity(one, "x") != identity(one, "y")
    assert identity(small("convert.scale=0.5")) == identity(small()), "nothing is converted"


def test_what_is_no_complete_run_is_passed_over(tmp_path):
    for name, spoil in {
        "no-evaluation": lambda run: (run / "evaluation.json").unlink(),
        "no-environment": lambda run: (run / "environment.json").unlink(),
        "torn": lambda run: (run / "evaluation.json").write_text("{"),
        "validation": lambda run: (run / "evaluation.json").write_text('{"split": "validation"}'),
        "no-recipe": lambda run: (run / "recipe.toml").write_text("seed = []"),
        "no-sums": lambda run: (run / "environment.json").write_text('{"data": {}}'),
    }.items():
        spoil(keep(tmp_path / name, small()))
    whole = keep(tmp_path / "deeper" / "whole", small())
    assert [run.path for run in kept_runs([tmp_path])] == [whole]


def rows(run, count):
    """What a version that did not count updates wrote of so many epochs."""
    (run / "metrics.jsonl").write_text("".join(f'{{"epoch": {epoch}}}\n' for epoch in range(count)))


@each_row(
    ("asked", "change", "unfinished"),
    [
        (["train.epochs=6"], lambda run: None, ""),
        (["train.epochs=6"], lambda run: epochs(run, 3), "3 of 6"),  # rows count from 0: the last of 6 epochs is row 5
        (["train.epochs=6"], lambda run: (run / "metrics.jsonl").write_text("{torn"), "0 of 6"),
        (["train.epochs=6"], lambda run: (run / "metrics.jsonl").unlink(), "0 of 6"),
        (["train.epochs=3"], lambda run: rows(run, 3), ""),
        (["train.epochs=5"], lambda run: epochs(run, 5, of=24), "50 of 120"),  # it went on after it was measured
        (["evaluate.draws=3"], lambda run: edited(run, draws=3), ""),
        (["evaluate.draws=3"], lambda run: edited(run, draws=10), "10 draws"),
    ],
)
def test_a_run_that_does_not_complete_its_recipe_says_why(asked, change, unfinished, tmp_path):
    run = keep(tmp_path / "run", small(*asked))
    change(run)
    found = kept_run(run).unfinished
    assert unfinished in found if unfinished else not found


def test_a_conversion_alone_has_no_epochs(tmp_path):
    keep(tmp_path / "ann", load_recipe("fashion-mnist-ann"))
    recipe = load_recipe("fashion-mnist-conversion", [f"convert.ann={tmp_path / 'ann'}"])
    assert kept_run(keep(tmp_path / "converted", recipe)).unfinished == ""


def edited(run, **changed):
    """The run with other values in its evaluation."""
    file = run / "evaluation.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    return run


def test_an_ann_is_found_where_it_was_or_beside_the_run(tmp_path):
    ann = keep(tmp_path / "a", load_recipe("fashion-mnist-ann"))
    begun = keep(tmp_path / "b", small(*ANN))
    assert kept_run(begun).identity == identity(small(*ANN), kept_run(ann).identity)
    ann.rename(tmp_path / "gone")
    assert kept_run(begun) is None


def test_a_run_to_begin_with_counts_by_its_name_wherever_it_lies():
    packed = identity(small("init.run=.../source"))
    assert packed == identity(small("init.run=/pool/of/mine/source")) == identity(small("init.run=runs/source/"))
    assert packed != identity(small("init.run=/pool/of/mine/other"))


def converted(place, **ann):
    """A kept run that tells of the ANN that it began with."""
    return edited(keep(place, small(*ANN)), conversion={"ann": {"run": "...", **ann}})


def test_an_ann_that_is_another_now_is_not_what_a_run_began_with(tmp_path):
    ann = keep(tmp_path / "a", load_recipe("fashion-mnist-ann"), weights=True)
    updates, weights = 10 * load_recipe("fashion-mnist-ann").train.epochs, sha256(b"weights").hexdigest()
    begun = converted(tmp_path / "b", updates=updates, weights_sha256=weights)
    assert kept_run(begun).identity == identity(small(*ANN), kept_run(ann).identity)
    assert kept_run(converted(tmp_path / "longer", updates=updates + 1)) is None
    assert kept_run(converted(tmp_path / "other", updates=updates, weights_sha256="x")) is None
    shutil.rmtree(ann / "checkpoints")
    assert kept_run(tmp_path / "other") is not None, "its weights are gone"
    epochs(ann, 1)
    assert kept_run(begun) is None, "it is trained anew"


ASKED = {"split": "test", "draws": 1, "places": False}


@each_row(
    ("own", "taken"),
    [
        ({"n": 1, "arguments": ASKED}, True),
        ({"n": 1, "arguments": ASKED | {"split": "validation"}}, False),
        ({"n": 1, "arguments": ASKED, "epoch": 2}, True),
        ({"n": 1, "arguments": ASKED, "epoch": 1}, False),
        ({"n": 1, "arguments": ASKED, "weights_sha256": sha256(b"weights").hexdigest()}, True),
        ({"n": 1, "arguments": ASKED, "weights_sha256": "x"}, False),
        ({"n": 1, "arguments": ASKED, "weights_sha256": "x", "without": "weights"}, True),
        ({"n": 1, "arguments": ASKED, "measured_on": {"a": "x"}}, True),
        ({"n": 1, "arguments": ASKED, "measured_on": {"b": "x"}}, False),
        ({"n": 1, "arguments": ASKED, "measured_with": {"a": {"compute.precision": "fp32"}}}, False),
        ({"n": 1, "arguments": None}, False),
        ({"n": 1}, False),
        ([], False),
    ],
)
def test_what_a_verb_kept_counts_where_it_says_that_it_was_asked_so(own, taken, tmp_path):
    place = keep(tmp_path / "a", small(), weights="without" not in own)
    (place / "activity.json").write_text(json.dumps(own))
    run = kept_run(place)
    found = replace(run, evaluation={**run.evaluation, "epoch": 2}).found(measure_from("activity", {}))
    assert found == (own if taken else None)


@each_row("arguments", [ASKED, {"kind": "activity"}])
@each_row(
    ("of", "values", "taken"),
    [
        ({"updates": 30}, {}, True),
        ({"updates": 20}, {}, False),
        ({"updates": None}, {}, True),
        ({}, {"epoch": 2}, True),
        ({}, {"epoch": 1}, False),
    ],
)
def test_measures_of_other_weights_are_made_again(arguments, of, values, taken, tmp_path):
    place, measure = keep(tmp_path / "a", small("train.epochs=3"), weights=True), measure_from("activity", {})
    run = kept_run(place)
    (place / "measures").mkdir()
    (place / measure.file).write_text(json.dumps({"arguments": arguments, "of": of, "values": values | {"n": 2}}))
    found = replace(run, evaluation={**run.evaluation, "epoch": 2})
    assert (found.found(measure) is not None) == taken


def test_numbers_are_those_of_studies_before_those_of_verbs(tmp_path):
    place, measure = keep(tmp_path / "a", small()), measure_from("activity", {})
    (place / "activity.json").write_text(json.dumps({"n": 1, "arguments": ASKED}))
    (place / "measures").mkdir()
    (place / measure.file).write_text(json.dumps({"arguments": asdict(measure.arguments), "values": {"n": 2}}))
    numbers = measured_values(kept_run(place), {"mine": measure, "noise": measure_from("robust", {})})
    assert numbers.keys() == {"evaluate", "mine"}
    assert numbers["mine"] == {"n": 2}


def test_checksums_of_data(tmp_path, monkeypatch):
    assert data_checksums(small()) == bundled_sums()
    monkeypatch.setenv("BNTT_DATA", str(tmp_path))
    assert data_checksums(load_recipe("cifar10")) is None
    assert data_checksums(load_recipe("fashion-mnist-events")) is None
    assert data_checksums(small("data.name=images")) is None
    ordered = data_checksums(load_recipe("sequential-mnist", ["data.name=fashion-mnist-bundled"]))
    assert ordered.keys() == {"train", "test", "order"}


def test_what_brings_data():
    assert "bntt data prepare cifar10" in why_data_is_missing(load_recipe("cifar10"))
    assert "bntt data simulate fashion-mnist" in why_data_is_missing(load_recipe("fashion-mnist-events"))
    assert "--data images=FOLDER" in why_data_is_missing(small("data.name=images"))


def test_a_training_that_got_more_epochs_later_is_not_one_of_so_many(tmp_path):
    """Its first epochs had the rates of the shorter schedule, which fell sooner."""
    recipe = small("train.epochs=4")
    run = keep(tmp_path / "longer", recipe)
    whole = Rates(recipe.train, 4, 10)
    for begun, said in ((4, ""), (2, "was begun for fewer than 4 epochs, at other learning rates")):
        first = Rates(recipe.train, begun, 10)
        rates = [(first if epoch < begun else whole).factor(epoch, 0) for epoch in range(4)]
        rows = [{"epoch": n, "updates": 10 * (n + 1), "lr": recipe.train.lr * rate} for n, rate in enumerate(rates)]
        write_json_lines(run / "metrics.jsonl", rows)
        assert kept_run(run).unfinished == said
