"""What measurements share before anything is opened."""

import subprocess
import sys
from dataclasses import dataclass

from bntt.analysis.measurement import Measurement, Progress
from bntt.analysis.result import Result


@dataclass(frozen=True)
class Asked:
    how: str = ""
    split: str = "test"


def test_files_are_named_after_what_differs():
    one = Measurement("x", "", Asked, Result, object, variant=lambda asked: asked.how)
    stems = [
        one.stem(asked) for asked in (Asked(), Asked("raw"), Asked(split="validation"), Asked("raw", "validation"))
    ]
    assert stems == ["x", "x-raw", "x-validation", "x-raw-validation"]


def test_progress_adds_up_and_never_passes_its_total():
    told = []
    progress = Progress(lambda done, total: told.append((done, total)))
    progress.expect(3)
    for samples in (1, 2, 4):
        progress(samples)
    assert told == [(1, 3), (3, 3), (7, 7)]


def test_declarations_do_not_wait_for_torch():
    code = "import sys, bntt.analysis.measurements; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
