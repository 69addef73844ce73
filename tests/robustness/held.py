"""Promises that the tests of a room hold: R2, R5, R7, R11, S1, S7, N5 to N9, T2, T3, T4."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import partial

from tests.architecture.source import ROOT
from tests.robustness.promise import Measured, promise

HELD: dict[str, tuple[str, str]] = {
    "R2": ("how often it is validated changes no bit of a training", "runs/training/test_resume.py"),
    "R5": (
        "every flipped bit, truncation and lie of a checkpoint is detected; the one before is used, and named",
        "io/test_checkpoint.py runs/training/test_checkpoints.py",
    ),
    "R7": (
        "NaN and infinities anywhere stop before the update; the site is named, the last checkpoint finite",
        "training/test_session.py runs/training/test_resume.py",
    ),
    "R11": (
        "a second process in a run directory is refused and told who holds it; a killed holder is no obstacle",
        "io/test_lock.py runs/training/test_resume.py",
    ),
    "S1": ("hostile files run no code, are refused soon, in little memory", "io/test_pickled.py io/test_checkpoint.py"),
    "S7": ("no PyTorch before 2.10, whose reader has known holes, reads files of torch.save", "io/test_pickled.py"),
    "N5": (
        "the kernels are the reference: equal spikes, every gradient, the same bits again",
        "nn/fusion engine/test_scan.py fuzz/test_fuzz.py",
    ),
    "N6": ("the same seed, the same run", "runs/training/test_fit.py golden"),
    "N7": ("a GPU gives what the CPU gives", "engine/triton nn/test_triton.py"),
    "N8": (
        "Poisson: 21 rates within 4 sigma, no correlations, reproducible by seed, draw and index",
        "ops/test_random.py nn/test_encoders.py",
    ),
    "N9": (
        "a prediction depends on no batch, order or thread; evaluation leaves the model as it was",
        "nn/test_encoders.py analysis/accuracy/test_evaluation.py",
    ),
    "T2": (
        "no access to test images in a training; the best validated epoch is kept; the gap is printed",
        "runs/training/test_resume.py",
    ),
    "T3": ("all images are counted, by the exact mean", "analysis/accuracy/test_evaluation.py"),
    "T4": ("the exit's threshold is not chosen on test images", "analysis/exit"),
}
"""What is asked, and the tests."""
LACKS = {"T2": "; the gap to the best test accuracy is not printed, for no epoch is tested but the kept one"}


def held(name: str, tests: str) -> Measured:
    """How many pass, the slow ones too; those that need what is not here are skipped."""
    places = [str(ROOT / "tests" / test) for test in tests.split()]
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-m", "gpu" if name == "N7" else ""]
    done = subprocess.run([*command, *places], cwd=ROOT, capture_output=True, text=True, check=False)
    ends = re.findall(r"\d+ (?:passed|failed|errors?|skipped)", done.stdout)
    if done.returncode not in (0, 1) or not ends:
        raise RuntimeError(done.stdout[-500:] + done.stderr[-500:])
    said = f"{', '.join(ends)}: {tests}{LACKS.get(name, '')}"
    met = None if done.returncode == 0 and "passed" not in said else done.returncode == 0 and name not in LACKS
    return Measured(said, met)


for one, (asked, tests) in HELD.items():
    promise(one, asked)(partial(held, one, tests))
