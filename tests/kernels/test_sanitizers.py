"""The kernels under the address, undefined-behaviour and thread sanitizers, in a program without Python."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = Path(__file__).parents[2] / "src" / "bntt" / "engine" / "cpu"
COMPILER = shutil.which("g++") or shutil.which("clang++")


@pytest.mark.slow
@pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")
@pytest.mark.parametrize("sanitizers", ["address,undefined", "thread"])
def test_no_sanitizer_complains(sanitizers, tmp_path):
    assert COMPILER is not None
    program = tmp_path / "driver"
    files = [str(path) for path in sorted(SOURCES.glob("*.cpp"))]
    options = ["-std=c++17", "-O1", "-g1", "-Wall", "-Wextra", "-Wno-psabi", "-pthread", f"-I{SOURCES}"]
    options += [f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"]
    command = [COMPILER, *options, str(Path(__file__).with_name("driver.cpp")), *files, "-o", str(program)]
    subprocess.run(command, check=True, timeout=1800)  # two busy cores need more than ten minutes
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "all kernels ran" in done.stdout
    assert "WARNING" not in done.stderr
