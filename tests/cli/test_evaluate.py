"""``bntt evaluate``: tables, JSON, both splits, and what is refused."""

import json

import pytest

from bntt.cli import main as cli


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    options = [
        "network.width=0.125",
        "network.num_steps=2",
        "train.epochs=1",
        "train.batch_size=900",
        "evaluate.draws=1",
    ]
    flags = [part for option in options for part in ("-s", option)]
    assert cli.main(["train", "demo", *flags, "--root", str(root)]) == 0
    return root / "demo"


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
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    path = copy / "checkpoints" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    assert cli.main(["evaluate", str(copy)]) == 4
    assert "damaged or not a checkpoint" in capsys.readouterr().err
