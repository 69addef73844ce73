"""``bntt evaluate``: tables, JSON, both splits, and what is refused."""

import json
import shutil
from contextlib import contextmanager

import pytest

from bntt.cli import console
from bntt.cli import main as cli

SMALL = ("network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    flags = [part for option in (*SMALL, "evaluate.draws=1") for part in ("-s", option)]
    assert cli.main(["train", "demo", *flags, "--root", str(root)]) == 0
    return root / "demo"


@pytest.fixture
def counted(monkeypatch):
    """What each progress was told: what, of how many, and the sum of what was done."""
    told = []

    @contextmanager
    def progress(what, total):
        done = []
        yield done.append
        told.append((what, total, sum(done)))

    monkeypatch.setattr(console, "progress", progress)
    return told


def test_progress_ends_at_its_total(run, counted):
    assert cli.main(["evaluate", str(run), "--draws", "2"]) == 0
    assert cli.main(["evaluate", str(run), "--split", "validation"]) == 0
    assert counted == [("measuring", 2000, 2000), ("measuring", 500, 500)]


def test_the_spread_of_one_draw_is_not_known(run, capsys):
    assert cli.main(["evaluate", str(run), "--draws", "1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "% (one Poisson seed, the spread over others is not known; 95% interval for 1,000 images" in out
    assert "±" not in out
    assert json.loads((run / "evaluation.json").read_text())["accuracy_sd_over_draws"] is None
    assert cli.main(["evaluate", str(run), "--draws", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy_sd_over_draws"] is None


def test_direct_coding_is_measured_once(counted, tmp_path, capsys):
    flags = [part for option in (*SMALL, "encoder.name=direct", "evaluate.draws=5") for part in ("-s", option)]
    assert cli.main(["train", "demo", *flags, "--root", str(tmp_path)]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", str(tmp_path / "demo")]) == 0
    assert counted == [("measuring", 1000, 1000)] * 2
    assert "% (one pass; 95% interval for" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["evaluate", str(tmp_path / "demo"), "--draws", "2"]) == 2
    assert "--draws 2: direct coding draws nothing" in capsys.readouterr().err


def test_a_recipe_that_was_edited_is_refused_before_any_data_is_read(run, tmp_path, capsys, monkeypatch):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    recipe = copy / "recipe.toml"
    recipe.write_text(recipe.read_text().replace('name = "fashion-mnist-bundled"', 'name = "cifar10"'))
    for command in (["evaluate", str(copy)], ["train", str(copy), "--resume"]):
        assert cli.main(command) == 4
        expected = "data.name is 'cifar10', it was trained with 'fashion-mnist-bundled'"
        assert expected in capsys.readouterr().err


def test_tables_and_files(run, capsys):
    assert cli.main(["evaluate", str(run), "--draws", "2"]) == 0
    out = capsys.readouterr().out
    assert "sd over 2 Poisson seeds" in out
    assert f"written: {run}/evaluation.json and .png" in out
    assert json.loads((run / "evaluation.json").read_text())["draws"] == 2


def test_the_recipes_draws_by_default_and_every_image(run, capsys):
    assert cli.main(["evaluate", str(run), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["draws"], found["images"], found["split"]) == (1, 1000, "test")
    assert found == json.loads((run / "evaluation.json").read_text())


def test_the_validation_part(run, capsys):
    assert cli.main(["evaluate", str(run), "--split", "validation", "--draws", "1"]) == 0
    assert "validation accuracy" in capsys.readouterr().out
    assert (run / "evaluation-validation.png").exists()


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["/nonexistent"], 4, "is not a run directory"),
        (["RUN", "--draws", "0"], 2, "--draws must be 1 or more"),
        (["RUN", "--device", "tpu"], 5, "here: cpu"),
    ],
)
def test_refusals(args, code, message, run, capsys):
    assert cli.main(["evaluate", *[str(run) if a == "RUN" else a for a in args]]) == code
    assert message in capsys.readouterr().err


def test_a_damaged_checkpoint(run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = copy / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert cli.main(["evaluate", str(copy)]) == 4
    assert "best.safetensors is damaged" in capsys.readouterr().err


def test_another_number_of_steps_is_named_and_kept_beside(run, capsys):
    assert cli.main(["evaluate", str(run), "--draws", "1", "--num-steps", "4", "--longer", "interpolate"]) == 0
    assert "trained with 2 steps, measured with 4: interpolate" in capsys.readouterr().out
    kept = json.loads((run / "evaluation-4-steps-interpolate.json").read_text())
    assert (kept["steps"], kept["retimed"]["how"]) == (4, "interpolate")
    assert (run / "evaluation-4-steps-interpolate.png").exists()
    assert cli.main(["evaluate", str(run), "--draws", "1", "--num-steps", "1"]) == 0
    assert (run / "evaluation-1-steps-truncate.json").exists()
    assert json.loads((run / "evaluation.json").read_text())["steps"] == 2


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--num-steps", "4"], "say what the added steps have, --longer hold"),
        (["--num-steps", "2"], "another number than the 2 of its training"),
        (["--num-steps", "1", "--exit"], "--exit and --num-steps both say when to stop"),
        (["--longer", "hold"], "--longer hold needs a number of steps: --num-steps"),
    ],
)
def test_a_number_of_steps_is_never_silent(run, flags, message, capsys):
    assert cli.main(["evaluate", str(run), *flags]) == 2
    assert message in capsys.readouterr().err
