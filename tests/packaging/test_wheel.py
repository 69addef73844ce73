"""What is installed: all that the package reads and nothing else, kernels where a compiler is, and it runs without."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging import NO_COMPILER, ROOT, build, built

DATA = {".pyi", ".toml", ".html", ".css", ".js", ".json", ".safetensors", ".npz", ".typed"}
"""Endings of files that are read, and are no Python."""
KERNELS = ROOT / "src" / "bntt" / "engine" / "cpu"
EMPTY_SOURCES = """#!/bin/sh
for given in "$@"; do shift; case $given in *.cpp) given="$0.cpp" ;; esac; set -- "$@" "$given"; done
exec g++ "$@"
"""
"""A compiler of the kernels that needs no three minutes: it finds every source empty."""

pytestmark = pytest.mark.slow


def members(wheel: Path) -> set[str]:
    """List the files of the package in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if not name.startswith("bntt-")}


def read_files() -> set[str]:
    """List the files of the package that are read where it is installed."""
    paths = (path for path in (ROOT / "src" / "bntt").rglob("*") if path.suffix == ".py" or path.suffix in DATA)
    return {path.relative_to(ROOT / "src").as_posix() for path in paths}


def test_without_a_compiler_it_is_for_every_platform_and_trains(checkout, tmp_path):
    wheel = built(checkout, "wheel", **NO_COMPILER)
    assert wheel.name.endswith("-py3-none-any.whl")
    assert members(wheel) == read_files()
    assert {Path(name).suffix for name in members(wheel)} >= {".toml", ".html", ".safetensors", ".npz"}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=900", "data.images=1000"]
    flags = [part for setting in (*small, "evaluate.draws=1") for part in ("-s", setting)]
    for verb, said in ((["list", "backends"], "BNTT_REQUIRE_KERNELS=1"), (["train", "demo", *flags], "plain PyTorch")):
        command = [sys.executable, "-m", "bntt", *verb]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
    assert (tmp_path / "runs" / "demo" / "evaluation.json").is_file()


def test_kernels_that_are_required_and_do_not_compile_are_an_error(checkout):
    done = build(checkout, "wheel", BNTT_REQUIRE_KERNELS="1", **NO_COMPILER)
    assert done.returncode != 0
    assert "the kernels do not compile" in done.stderr
    assert "install a C++17 compiler (g++ or clang++), or unset it" in done.stderr


@pytest.mark.skipif(shutil.which("g++") is None or sys.platform != "linux", reason="needs g++ on Linux")
def test_with_kernels_it_is_for_one_platform_and_every_python(checkout):
    compiler = checkout / "empty"
    compiler.write_text(EMPTY_SOURCES, "utf-8")
    compiler.chmod(0o755)
    compiler.with_suffix(".cpp").touch()
    wheel = built(checkout, "wheel", BNTT_REQUIRE_KERNELS="1", CXX=str(compiler), CC=str(compiler))
    assert "-py3-none-linux_" in wheel.name
    assert members(wheel) == read_files() | {"bntt/engine/cpu/kernels.so"}
    shutil.rmtree(checkout / "out")
    os.utime(checkout / "src" / "bntt" / "engine" / "cpu" / "api.cpp")  # what was built before is older than its source
    assert built(checkout, "wheel", **NO_COMPILER).name.endswith("-py3-none-any.whl")


def test_the_sdist_has_the_sources_of_kernels_and_no_tests(checkout):
    with tarfile.open(built(checkout, "sdist")) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    sources = {path.relative_to(ROOT).as_posix() for path in KERNELS.iterdir() if path.suffix in (".cpp", ".h", ".inl")}
    assert held >= sources | {"CHANGELOG.md", "LICENSE", "README.md", "pyproject.toml", "setup.py"}
    assert not [name for name in held if name.startswith("tests")]
