"""Tests as a measure: how many passed."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.architecture.source import ROOT


class StackOutput(NamedTuple):
    """What came of a row of tests."""

    passed: int
    failed: int
    skipped: int

    @property
    def well(self) -> bool:
        return self.passed > 0 and self.failed == 0

    @property
    def text(self) -> str:
        failed = f", {self.failed} FAILED" if self.failed else ""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed:,} tests passed{failed}{skipped}"


def passed(nodes: Sequence[str]) -> StackOutput:
    """Run tests by their places, in a process of their own.

    Raises:
        RuntimeError: if pytest itself could not.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "told.xml"
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", f"--junitxml={told}", *nodes]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 1):
            raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
        suite = ElementTree.parse(told).getroot()[0]
    count, skipped = int(suite.get("tests", 0)), int(suite.get("skipped", 0))
    failed = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    return StackOutput(count - skipped - failed, failed, skipped)
