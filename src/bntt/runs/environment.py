"""The environment of a run: enough to judge its numbers, kept in the run directory."""

from __future__ import annotations

import itertools
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from bntt.io.files import write_json
from bntt.version import __version__


def environment() -> dict[str, Any]:
    """Return versions, processor, threads, command and, in a git checkout, the source commit."""
    return {
        "bntt": __version__,
        "numerics": NUMERICS,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        **({"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}),
        "command": sys.argv[1:],
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_environment(run: Path, updates: int, more: Mapping[str, Any]) -> None:
    """Write the environment of a training and further facts; each time a run is resumed it gets another file."""
    stem = f"environment-from-update-{updates}" if updates else "environment"
    names = itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2)))
    name = next(name for name in names if not updates or not (run / f"{name}.json").exists())
    write_json(run / f"{name}.json", {**environment(), **more})


def _commit() -> str | None:
    """Return the commit of this file's checkout, "-dirty" if it was changed; None for an installed package."""
    here = Path(__file__)
    git = ["git", "-C", str(here.parent)]
    command = [*git, "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        subprocess.run([*git, "ls-files", "--error-unmatch", here.name], capture_output=True, check=True, timeout=10)
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


NUMERICS = 1
"""Version of the numerics, raised by hand when the same recipe gives different numbers than before.

A result is reused only under the same version. If ``tests/golden/test_losses.py`` fails, raise the version by one,
record the losses again (``python -m tests.golden.make_losses``) and say under *Numerics* in CHANGELOG.md what changed.
If only recipes that use one option give other numbers, give that option a version in :mod:`bntt.runs.identity`. Sums
that only round differently do not count: the losses agree to 1e-9 in float64.
"""


def numerics_of(environment: Mapping[str, Any]) -> int:
    """Return the numerics version of a result, from its ``environment.json``; 1 if it has none."""
    found = environment.get("numerics", 1)
    return found if type(found) is int else 0
