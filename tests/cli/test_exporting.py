"""``bntt export``: a bundle of a run and of the package's network, and what is refused."""

import pytest

from bntt.cli import main as cli
from bntt.deploy import bundle
from bntt.runs.open_run import load_run
from tests.trained import copied_run


def test_a_run_is_written_with_what_is_known_of_it(tmp_path, capsys):
    place = copied_run(tmp_path).path
    assert cli.main(["export", str(place), "--weights", "int8"]) == 0
    path = place / "bundle-int8.safetensors"
    assert f"written: {path} ({path.stat().st_size:,} bytes)" in capsys.readouterr().out
    made, run = bundle.read(path), load_run(place)
    assert made.classes == run.classes
    assert made.pictures.shape == run.image_shape
    assert made.provenance["weights_sha256"] == run.weights_sha256
    assert made.provenance["epoch"] == str(run.epoch + 1)
    assert "[network]" in made.provenance["recipe"]


def test_the_packages_network_and_what_is_refused(tmp_path, capsys):
    assert cli.main(["export", "--out", str(tmp_path / "x")]) == 0
    assert bundle.read(tmp_path / "x").pictures.shape == (1, 28, 28)
    for arguments, code, said in (
        (["export"], 2, "--out FILE is needed"),
        (["export", "--out", str(tmp_path)], 2, "is a directory: name the file to write"),
        (["export", str(tmp_path / "none")], 4, "none"),
        (["export", "--out", str(tmp_path / "no" / "x")], 5, "could not be written"),
    ):
        assert cli.main(arguments) == code
        assert said in capsys.readouterr().err


@pytest.mark.slow
def test_a_network_that_cannot_leave_is_refused_with_the_layer(tmp_path, capsys):
    place = copied_run(tmp_path, network={"norm": "layer"}).path
    assert cli.main(["export", str(place)]) == 2
    assert "layer 'conv1' cannot leave PyTorch: its norm, LayerNorm" in capsys.readouterr().err
