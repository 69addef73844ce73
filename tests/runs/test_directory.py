"""Where a run's files are, and that no run is overwritten."""

from pathlib import Path

import pytest

from bntt.io.checkpoint import CheckpointError
from bntt.runs.directory import RunDirectory, find_run, new_run_directory, open_or_create_run


def test_no_run_is_overwritten(tmp_path):
    (tmp_path / "demo").mkdir()  # without its checkpoints
    assert [new_run_directory("demo", tmp_path).path.name for _ in range(2)] == ["demo-2", "demo-3"]
    (tmp_path / "link").symlink_to(tmp_path / "unmounted" / "disk")
    with pytest.raises(OSError, match="link"):
        new_run_directory("demo", tmp_path / "link")


def test_a_directory_is_begun_where_it_is_said_or_taken_as_it_is(tmp_path):
    run = open_or_create_run("a", tmp_path)
    (run.path / "checkpoints" / "x").write_text("kept")
    assert open_or_create_run("a", tmp_path).path == run.path == tmp_path / "a"
    assert (run.path / "checkpoints" / "x").read_text() == "kept"


def test_what_is_no_run_is_refused_and_where_one_is_it_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    new_run_directory("mine", Path("runs"))
    Path("runs/mine/recipe.toml").touch()
    assert find_run(Path("runs/mine")).best == Path("runs/mine/checkpoints/best.safetensors")
    for name, said in (("mine", "; runs/mine is one"), ("other", "no such folder"), ("runs", "recipe.toml")):
        with pytest.raises(CheckpointError, match=rf"^{name} is not a run directory.*{said}$"):
            find_run(Path(name))


def test_what_was_spent_is_in_the_last_row(tmp_path):
    run = RunDirectory(tmp_path)
    assert run.training_cost() == {"updates": None, "seconds": None}
    run.metrics.write_text('{"updates": 3, "seconds": 1.5}\n{"updates": 6, "seconds": 4.0}\n')
    assert run.training_cost() == {"updates": 6, "seconds": 4.0}
    run.metrics.write_text('{"seconds": 4.0}\n')
    assert run.training_cost() == {"updates": None, "seconds": 4.0}
