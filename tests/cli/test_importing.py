"""``bntt import``: a run that other verbs take, and what is refused, by its code."""

import json

import pytest

from bntt.cli import main as cli
from tests.foreign import VGG6, Loop, released, saved

SMALL = ("-s", "network.width=0.25")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "best.pth.tar"
    path.write_bytes(saved(released(Loop(VGG6, 2, width=0.25).randomize())))
    return path


def imported(file, *more):
    return cli.main(["import", str(file), "--model", "vgg6", *SMALL, "--root", str(file.parent / "runs"), *more])


@pytest.mark.slow
def test_the_run_is_measured_by_the_other_verbs(file, capsys):
    assert imported(file, "--data", "fashion-mnist-bundled") == 0
    said = capsys.readouterr().out
    assert "released names, T = 2, 21 tensors, each in its place" in said
    assert (
        "assumed, as the file does not say it: leak 0.95, ε 0.0001, firing after integration, soft reset, poiss" in said
    )
    run = file.parent / "runs" / "best"
    few = ["--images", "50"]
    assert cli.main(["evaluate", str(run), "--draws", "1", *few]) == 0
    assert capsys.readouterr().out.count("imported") == 1
    for verb in ("exit", "activity", "energy"):
        assert cli.main([verb, str(run), *(["--draws", "1"] if verb == "exit" else [])]) == 0, verb
        assert (run / f"{verb}.json").is_file()
    assert json.loads((run / "evaluation-50-images.json").read_text())["updates"] is None
    for command, code in ((["train", str(run), "--resume"], 4), (["train", str(run / "recipe.toml")], 2)):
        assert cli.main(command) == code
    assert "best.pth.tar was imported, and cannot be trained here" in capsys.readouterr().err


def test_a_checkpoint_alone(file, capsys):
    assert imported(file) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"written: {file.parent}/runs/best.safetensors" in out
    assert "reads it into bntt.models.vgg6(num_steps=2, width=0.25, norm_eps=0.0001, leak=0.95), with the sizes" in out


def test_a_file_that_is_none_is_a_checkpoint_error(file, capsys):
    for payload, message in (
        (b"cposix\nsystem\n(S'true'\ntR.", "is no file of torch.save"),
        (b"PK\3\4", "is damaged"),
        (None, "does not exist"),
    ):
        file.unlink() if payload is None else file.write_bytes(payload)
        assert imported(file) == 4
        assert message in capsys.readouterr().err


def test_names_and_options(file, capsys):
    assert imported(file, "--name", "../x") == 2
    assert imported(file, "--data", "fashion-mnst") == 2
    assert "did you mean 'fashion-mnist'" in capsys.readouterr().err
