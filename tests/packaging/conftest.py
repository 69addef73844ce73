"""A checkout to build from."""

import shutil

import pytest

from tests.packaging import ROOT


@pytest.fixture
def checkout(tmp_path):
    """What a build reads, and a test beside it, in a folder of its own: what an earlier build left would be used."""
    place = tmp_path / "checkout"
    left_out = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    shutil.copytree(ROOT / "src", place / "src", ignore=left_out)
    for part in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "CHANGELOG.md", "LICENSE"):
        shutil.copy(ROOT / part, place)
    (place / "tests").mkdir()
    (place / "tests" / "test_stray.py").touch()
    return place
