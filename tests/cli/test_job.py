"""A process of a study: one job, as JSON says it."""

import json
import subprocess
import sys

import pytest

from bntt.analysis.result import Result
from bntt.cli.job import run_job
from bntt.runs import measure as measures
from bntt.runs.recipe.file import dump_recipe, load_recipe
from tests.runs.tiny import opened_run


@pytest.mark.slow
def test_a_run_is_trained_and_measured(tmp_path):
    """In a process of its own: what it writes is what the verbs write."""
    few = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900", "evaluate.draws=1"]
    (tmp_path / "mine.toml").write_text(dump_recipe(load_recipe("demo", few)))
    train = {"train": str(tmp_path / "mine.toml"), "name": "one", "root": str(tmp_path), "device": "cpu"}
    measure = {"measure": "drift", "run": str(tmp_path / "one"), "folder": str(tmp_path / "there"), "device": "cpu"}
    for job in (train, measure | {"arguments": {"images": 20}}):
        found = subprocess.run([sys.executable, "-m", "bntt.cli.job", json.dumps(job)], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
    assert json.loads((tmp_path / "one" / "evaluation.json").read_text())["split"] == "test"
    assert json.loads((tmp_path / "there" / "drift.json").read_text())["arguments"]["images"] == 20


@pytest.mark.slow
def test_an_error_is_one_line_and_its_code(tmp_path):
    job = {"measure": "drift", "run": str(tmp_path), "folder": str(tmp_path), "arguments": {}, "device": "cpu"}
    found = subprocess.run([sys.executable, "-m", "bntt.cli.job", json.dumps(job)], capture_output=True, text=True)
    assert (found.returncode, found.stderr.count("\n")) == (4, 1)


def test_numbers_that_are_worth_nothing_are_kept_as_such(tmp_path, monkeypatch):
    run = opened_run(tmp_path)
    monkeypatch.setattr(Result, "invalid", "gradients are zero")
    run_job({"measure": "drift", "run": str(run.path), "folder": str(tmp_path / "n"), "arguments": {}, "device": "cpu"})
    assert (tmp_path / "n" / "drift.json").is_file()
    assert measures.MEASUREMENTS["drift"].record_in("drift").invalid == "gradients are zero"
