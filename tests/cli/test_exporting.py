"""``bntt export`` and ``bntt import``: files for elsewhere, and runs from elsewhere."""

import json

import pytest

from bntt.analysis.card import hardware_profile
from bntt.cli import main as cli
from bntt.deploy import bundle, from_nir
from bntt.io.errors import DataError
from bntt.runs import open_run
from bntt.runs.measure import measure
from bntt.runs.open_run import load_run
from tests.foreign import VGG6, Loop, released, saved


@pytest.fixture
def exported(capsys):
    """Runs ``bntt export``: what it prints, in one line."""

    def exported(*arguments):
        assert cli.main(["export", *map(str, arguments)]) == 0
        return " ".join(capsys.readouterr().out.split())

    return exported


def test_a_run_is_written_with_what_is_known_of_it(run, exported):
    out, card = exported(run, "--weights", "int8"), measure("card", run)
    path = run / "bundle-int8.safetensors"
    assert f"written: {path} ({path.stat().st_size:,} bytes)" in out
    assert f"bntt predict IMAGE --bundle {path}" in out
    assert f"{card.parameters:,} parameters" in out
    assert f"{card.spikes:,.0f} spikes" in out
    made, loaded = bundle.read(path), load_run(run)
    assert made.classes == loaded.classes
    assert made.pictures.shape == loaded.image_shape
    assert made.provenance["weights_sha256"] == loaded.weights_sha256
    assert made.provenance["epoch"] == str(loaded.epoch + 1)
    assert "[network]" in made.provenance["recipe"]


def test_the_packages_network_and_what_goes_into_an_onnx_graph(run, tmp_path, exported):
    assert "input is the encoder's spikes, [T, B, ...]" in exported(run, "--to", "onnx")
    assert "151,080 bytes for one image" in exported("--out", tmp_path / "x")
    direct = ("--pretrained", "fashion-mnist-sparse", "--to", "onnx-step", "--out", tmp_path / "x.onnx")
    assert "input is images in [0, 1], [B, ...]" in exported(*direct)


def test_a_run_becomes_a_graph_and_a_constant_one(run, exported):
    assert "take --lossy constant" in exported(run, "--to", "nir")
    said = exported(run, "--to", "nir", "--lossy", "constant")
    assert "exact: " in said
    assert "median: " in said
    exact, constant = from_nir(run / "nir-float32.nir"), from_nir(run / "nir-constant.nir")
    assert exact.classes == load_run(run).classes
    assert constant.layers[0].neurons.reset == "hard"
    assert " validation samples, " in constant.provenance["constant"]
    assert constant.provenance["run"] == exact.provenance["run"]


def test_without_its_data_a_run_is_written_and_the_card_says_what_is_missing(run, exported, monkeypatch):
    def gone(recipe):
        raise DataError("the disk is out")

    monkeypatch.setattr(open_run, "build_data", gone)
    out = exported(run)
    assert "the disk is out" in out
    assert "bits of weights" in out
    assert "For one image" not in out
    monkeypatch.undo()
    monkeypatch.setattr(hardware_profile, "plan_layers", lambda *args: (_ for _ in ()).throw(TypeError("odd block")))
    assert "no card: " in exported(run)


@pytest.fixture
def imported(tmp_path):
    """Imports a file of the released code as a run ``best``; its exit code."""
    (tmp_path / "best.pth.tar").write_bytes(saved(released(Loop(VGG6, 2, width=0.25).randomize())))
    command = ["import", str(tmp_path / "best.pth.tar"), "--model", "vgg6", "-s", "network.width=0.25", "--root"]
    return lambda *more: cli.main([*command, str(tmp_path / "runs"), *more])


@pytest.mark.slow
def test_an_imported_run_is_measured_by_the_other_verbs(imported, tmp_path, capsys):
    assert imported("--data", "fashion-mnist-bundled") == 0
    assert "released names, T = 2, 21 tensors" in capsys.readouterr().out
    run = tmp_path / "runs" / "best"
    assert cli.main(["evaluate", str(run), "--draws", "1", "--images", "50"]) == 0
    assert json.loads((run / "evaluation-50-images.json").read_text())["updates"] is None
    for verb in ("exit", "activity", "energy"):
        assert cli.main([verb, str(run), *(["--draws", "1"] if verb == "exit" else [])]) == 0, verb
        assert (run / f"{verb}.json").is_file()
    for command, code in ((["train", str(run), "--resume"], 4), (["train", str(run / "recipe.toml")], 2)):
        assert cli.main(command) == code
    assert "best.pth.tar" in capsys.readouterr().err


def test_a_checkpoint_alone(imported, tmp_path, capsys):
    assert imported() == 0
    out = " ".join(capsys.readouterr().out.split())
    assert f"written: {tmp_path}/runs/best.safetensors" in out
    assert "leak 0.95, ε 0.0001, firing after" in out
    assert imported("--data", "fashion-mnst") == 2
    assert "'fashion-mnist'" in capsys.readouterr().err
