"""Every example runs, at its smallest."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.py"))
SMALLEST = {"loader_throughput": ["--images", "100", "--rounds", "1"]}


def test_the_table_has_every_example():
    assert {path.stem for path in EXAMPLES} == SMALLEST.keys()


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path):
    done = subprocess.run(
        [sys.executable, str(path), *SMALLEST[path.stem]], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "images/s" in done.stdout
