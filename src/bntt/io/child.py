"""Environment of a Python process that this one starts."""

from __future__ import annotations

import os
import sys

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Variables that keep OpenMP, OpenBLAS and MKL to one thread; they are read when a process starts."""


def environment(**changed: str) -> dict[str, str]:
    """Return this process's environment with some variables changed and its ``sys.path``."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **changed}
