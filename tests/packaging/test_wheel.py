"""What is installed: the wheel has all that the package reads and nothing else, and runs without a compiler."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = {".pyi", ".toml", ".html", ".css", ".js", ".json", ".safetensors", ".npz", ".txt", ".typed"}
"""Endings of files that are read, and are no Python."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the checkout, built as where no compiler is."""
    place = tmp_path_factory.mktemp("wheel")
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, place)
    left_out = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", place / "src", ignore=left_out)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", "out", "."]
    environment = {**os.environ, "CC": "/bin/false", "CXX": "/bin/false"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (place / "out").glob("*.whl")
    return built


def test_it_has_every_file_that_is_read_and_no_other(wheel):
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if not name.startswith("bntt-")}
    source = ROOT / "src"
    read = {
        path.relative_to(source).as_posix()
        for path in (source / "bntt").rglob("*")
        if path.suffix == ".py" or path.suffix in DATA
    }
    assert held == read
    assert {Path(name).suffix for name in held} >= {".toml", ".html", ".safetensors", ".npz"}


def test_it_trains_without_a_compiler(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900", "data.images=1000"]
    flags = [part for setting in (*small, "evaluate.draws=1") for part in ("-s", setting)]
    for verb in (["list", "backends"], ["train", "demo", *flags]):
        command = [sys.executable, "-m", "bntt", *verb]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "demo" / "evaluation.json").is_file()
    assert "plain PyTorch" in done.stdout
