"""How distributions are built here."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
NO_COMPILER = {"CC": "/bin/false", "CXX": "/bin/false"}


def build(place: Path, what: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Build an sdist or a wheel as pip does, into ``out``."""
    command = [sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_{what}('out')"]
    return subprocess.run(command, cwd=place, env=os.environ | environment, capture_output=True, text=True)


def built(place: Path, what: str, **environment: str) -> Path:
    """Return the one file that a build makes."""
    done = build(place, what, **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = (place / "out").iterdir()
    return path
