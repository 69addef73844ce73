"""The verbs that declarations make, with what the drill does not try."""

import csv
import io
import json
import shutil

import pytest

from bntt.cli import main as cli
from tests.trained import copied_run, trained_run


@pytest.fixture
def asked(capsys):
    """Runs a verb, whose exit code is expected; what it prints."""

    def asked(*command, code=0):
        capsys.readouterr()
        assert cli.main([*map(str, command)]) == code
        return capsys.readouterr()

    return asked


def test_files_go_elsewhere_when_asked(tmp_path, asked):
    run, there = trained_run().path, tmp_path / "there"
    said = asked("drift", run, "--images", "20", "--out", there)
    assert {file.name for file in there.iterdir()} == {"drift.json", "drift.png"}
    assert f"written: {there / 'drift.json'}" in said.out.replace("\n", "")
    other = shutil.copytree(run, tmp_path / "other")
    for directory, out, replaces in (
        (run, ["--out", there], False),
        (other, ["--out", there], True),
        (other, [], False),
        (run, ["--out", other], True),  # what it has of itself
    ):
        assert ("replaces" in asked("drift", directory, "--images", "20", *out).err) == replaces


def test_nothing_stands_among_the_numbers(tmp_path, asked):
    command = ["drift", trained_run().path, "--images", "20", "--out", tmp_path]
    assert json.loads(asked(*command, "--json").out)["layers"]
    head, *rows = csv.reader(io.StringIO(asked(*command, "--csv").out))
    assert rows
    assert {len(row) for row in rows} == {len(head)}


def test_an_evaluation_says_what_it_replaces(run, asked):
    few = ["evaluate", run, "--images", "50"]
    assert "replaces" not in asked(*few, "--draws", "2").err
    assert "evaluation-50-images.json" in asked(*few, "--draws", "1", "--format", "svg", "--csv").err
    assert (run / "evaluation-50-images.svg").read_text(encoding="utf-8").startswith("<?xml")


def test_some_images_of_another_split_are_kept_beside(run, asked):
    out = asked("evaluate", run, "--split", "validation", "--images", "30", "--num-steps", "2").out
    assert "validation accuracy" in out
    name = "evaluation-validation-2-steps-truncate-30-images"
    kept = json.loads((run / f"{name}.json").read_text())
    assert (kept["steps"], kept["images"], kept["draws"], kept["arguments"]["images"]) == (2, 30, 2, 30)
    assert (run / f"{name}.png").exists()
    assert not (run / "evaluation.json").exists()


def test_an_ann_has_one_step(tmp_path, asked):
    ann = copied_run(tmp_path, network={"neuron": "relu", "norm": "none", "num_steps": 1}, encoder={"name": "expected"})
    for flags in (["--exit"], ["--num-steps", "2", "--longer", "hold"]):
        assert "ANN" in asked("evaluate", ann.path, *flags, code=2).err
    assert "ANN" in asked("evaluate", ann.path).out
    assert (ann.path / "evaluation.png").exists()


def test_an_exit_is_chosen_kept_and_used(run, asked):
    asked("exit", run, "--draws", "1", "--threshold", "0.9")
    kept = json.loads((run / "exit.json").read_text())
    asked("evaluate", run, "--exit", "--draws", "1")
    evaluated = json.loads((run / "evaluation-exit.json").read_text())
    assert len(evaluated["accuracy_over_time"]) == kept["steps"]
    assert evaluated["accuracy"] == pytest.approx(kept["chosen"]["test_accuracy"])
    assert asked("exit", run, "--draws", "1", "--threshold", "99").err.count("99") == 1, "that nothing reaches it"
    assert json.loads((run / "exit.json").read_text())["steps"] == 1


@pytest.mark.slow
def test_each_image_by_itself_needs_no_gamma(tmp_path, asked):
    run = copied_run(tmp_path, network={"norm": "bn"}).path
    assert "--per-sample" in asked("exit", run, code=2).err
    assert asked("exit", run, "--per-sample", "--draws", "1", "--csv").out.startswith("criterion,threshold,")
    assert (run / "exit-per-sample.png").is_file()
    assert not (run / "exit.json").exists()


def test_epochs_as_a_table_and_as_comma_separated_values(tmp_path, asked):
    run = trained_run()
    rows = list(csv.DictReader(io.StringIO(asked("log", run.path, "--csv").out)))
    assert [int(row["epoch"]) for row in rows] == [1, 2]
    for row, of in zip(rows, run.rows(), strict=True):
        assert float(row["validation_loss"]) == of["validation_loss"] > 0
        assert float(row["gamma/conv1"]) == of["gamma"]["conv1"]
    assert f"{run.rows()[-1]['validation_loss']:.4f}" in asked("log", run.path).out
    (tmp_path / "recipe.toml").write_text("")
    assert "metrics.jsonl" in asked("log", tmp_path, code=4).err
