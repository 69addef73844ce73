"""``bntt data``: prepare, verify, where."""

from contextlib import contextmanager

import pytest

from bntt.cli import console
from bntt.cli import main as cli
from bntt.data import catalog
from tests import fakes


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_prepare_verify_where(tmp_path, cache, capsys):
    source = fakes.write_mnist(tmp_path / "mnist")
    assert cli.main(["data", "prepare", "mnist", "--from", str(source)]) == 3
    assert "--allow-modified-data" in capsys.readouterr().err
    assert cli.main(["data", "prepare", "mnist", "--from", str(source), "--allow-modified-data"]) == 0
    assert "mnist: 20 + 10 images of 1x28x28, 10 classes, source modified" in capsys.readouterr().out
    assert cli.main(["data", "verify", "mnist"]) == 0
    assert capsys.readouterr().out.count("unchanged") == 2
    assert cli.main(["data", "where"]) == 0
    out = capsys.readouterr().out
    assert "fashion-mnist-bundled: built in" in out
    assert "mnist: 20 + 10 images" in out
    assert "cifar10: not here" in out
    file = cache / "mnist" / "test.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    assert cli.main(["data", "verify", "mnist"]) == 3
    assert "has changed since it was prepared" in capsys.readouterr().err


def test_progress_counts_every_image(tmp_path, monkeypatch):
    told = []

    @contextmanager
    def progress_of(what):
        yield lambda done, total: told.append((what, done, total))

    monkeypatch.setattr(console, "progress_of", progress_of)
    root = fakes.write_image_folder(tmp_path / "mine")
    assert cli.main(["data", "prepare", "images", "--from", str(root)]) == 0
    assert told == [("preparing images", done, 12) for done in range(1, 13)]


def test_image_folders(tmp_path, capsys):
    root = fakes.write_image_folder(tmp_path / "mine")
    assert cli.main(["data", "prepare", "images", "--from", str(root)]) == 0
    assert cli.main(["data", "verify", "images", "--from", str(root)]) == 0
    assert cli.main(["data", "where"]) == 0
    assert "images: 8 + 4 images of 3x8x8, 2 classes, source unchecked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["prepare", "mnist"], "mnist is not here: bntt data prepare mnist --from PATH"),
        (["prepare", "mnist", "--from", "/nonexistent"], "/nonexistent does not exist"),
        (["verify", "mnist"], "mnist is not prepared"),
        (["verify", "images"], "needs the folder that it is in"),
    ],
)
def test_refusals(args, message, capsys):
    assert cli.main(["data", *args]) == 3
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["prepare", "verify", "where"])
def test_help_has_an_example(verb, capsys):
    with pytest.raises(SystemExit):
        cli.main(["data", verb, "--help"])
    assert f"Example: bntt data {verb}" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["prepare", "verify"])
def test_help_and_errors_list_the_datasets(verb, capsys, monkeypatch):
    monkeypatch.setitem(catalog.DATASETS, "mine", catalog.DATASETS["mnist"])
    with pytest.raises(SystemExit):
        cli.main(["data", verb, "--help"])
    assert ",".join(catalog.DATASETS) in capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        cli.main(["data", verb, "minst"])
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert all(name in said for name in catalog.DATASETS)
