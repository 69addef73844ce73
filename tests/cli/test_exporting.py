"""``bntt export``: a bundle of a run and of the package's network, and what is refused."""

import pytest

from bntt.analysis.card import hardware_profile
from bntt.cli import main as cli
from bntt.deploy import bundle, from_nir
from bntt.io.errors import DataError
from bntt.runs import open_run
from bntt.runs.measure import measure
from bntt.runs.open_run import load_run
from tests.trained import copied_run


def test_a_run_is_written_with_what_is_known_of_it(tmp_path, capsys):
    place = copied_run(tmp_path).path
    assert cli.main(["export", str(place), "--weights", "int8"]) == 0
    path = place / "bundle-int8.safetensors"
    out = " ".join(capsys.readouterr().out.split())
    assert f"written: {path} ({path.stat().st_size:,} bytes)" in out
    assert f"run it: bntt predict IMAGE --bundle {path}; without PyTorch (bntt-runtime): python -m bntt_runtime" in out
    card = measure("card", place)
    assert f"{card.parameters:,} parameters" in out
    assert f"For one image {card.spikes:,.0f} spikes and {card.synaptic_operations:,.0f} synaptic operations" in out
    assert "mean and maximum over 200 test images, one draw)" in out
    made, run = bundle.read(path), load_run(place)
    assert made.classes == run.classes
    assert made.pictures.shape == run.image_shape
    assert made.provenance["weights_sha256"] == run.weights_sha256
    assert made.provenance["epoch"] == str(run.epoch + 1)
    assert "[network]" in made.provenance["recipe"]


def test_the_packages_network_and_what_is_refused(tmp_path, capsys):
    assert cli.main(["export", "--out", str(tmp_path / "x")]) == 0
    assert bundle.read(tmp_path / "x").pictures.shape == (1, 28, 28)
    out = " ".join(capsys.readouterr().out.split())
    assert "151,080 bytes for one image" in out
    assert "the highest |u|: no data lie beside fashion-mnist-vgg6" in out
    (kept := tmp_path / "checkpoints" / "best.safetensors").parent.mkdir()
    kept.touch()
    (recipe := tmp_path / "recipe.toml").touch()
    for arguments, code, said in (
        (["export"], 2, "--out FILE is needed"),
        (["export", "--out", str(kept)], 2, "is a run's checkpoint, which the export would replace"),
        (["export", "--out", str(recipe)], 2, "is a run's recipe.toml, which the export would replace"),
        (["export", "--out", str(tmp_path / "x"), "--to", "nir", "--lossy", "constant"], 2, "name a RUN"),
        (["export", str(tmp_path), "--lossy", "constant"], 2, "--lossy constant is for --to nir"),
        (["export", "--out", str(tmp_path)], 2, "is a directory: name the file to write"),
        (["export", str(tmp_path / "none")], 4, "none"),
        (["export", "--out", str(tmp_path / "no" / "x")], 5, "could not be written"),
    ):
        assert cli.main(arguments) == code
        assert said in capsys.readouterr().err


def test_a_run_becomes_a_graph_and_a_constant_one(tmp_path, capsys):
    place = copied_run(tmp_path).path
    assert cli.main(["export", str(place), "--to", "nir"]) == 0
    assert cli.main(["export", str(place), "--to", "nir", "--lossy", "constant"]) == 0
    said = capsys.readouterr().out
    assert "   exact: " in said
    assert "  median: " in said
    exact, constant = from_nir(place / "nir-float32.nir"), from_nir(place / "nir-constant.nir")
    assert exact.classes == load_run(place).classes
    assert constant.layers[0].neurons.reset == "hard"
    assert " validation samples, " in constant.provenance["constant"]
    assert constant.provenance["run"] == exact.provenance["run"]


@pytest.mark.slow
def test_a_network_that_cannot_leave_is_refused_with_the_layer(tmp_path, capsys):
    place = copied_run(tmp_path, network={"norm": "layer"}).path
    assert cli.main(["export", str(place)]) == 2
    assert "layer 'conv1' cannot leave PyTorch: its norm, LayerNorm" in capsys.readouterr().err


def test_without_its_data_a_run_is_written_and_the_card_says_what_is_missing(tmp_path, capsys, monkeypatch):
    place = copied_run(tmp_path).path

    def gone(recipe):
        raise DataError("the disk is out")

    monkeypatch.setattr(open_run, "build_data", gone)
    assert cli.main(["export", str(place)]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "highest |u|: the disk is out." in out
    assert "bits of weights" in out
    assert "For one image" not in out
    monkeypatch.undo()
    monkeypatch.setattr(hardware_profile, "plan_layers", lambda *args: (_ for _ in ()).throw(TypeError("odd block")))
    assert cli.main(["export", str(place)]) == 0
    assert "no card: " in capsys.readouterr().out
