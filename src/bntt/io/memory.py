"""Memory of this process, as the kernel reports it; the environment of the processes that it starts."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress
from pathlib import Path


def resident(key: str = "VmRSS") -> int:
    """Return the bytes that the process holds now or, for "VmHWM", the most that it held so far."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text(encoding="ascii").splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{key}:"))
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def forget_peak() -> None:
    """Let the peak count from here, if the system supports it."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def keep_freed_memory() -> None:
    """Let glibc's malloc keep what is freed, for the rest of the process; elsewhere do nothing."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            libc.mallopt(parameter, value)


ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""Variables that keep OpenMP, OpenBLAS and MKL to one thread; they are read when a process starts."""


def environment(**changed: str) -> dict[str, str]:
    """Return this process's environment with some variables changed and its ``sys.path``."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **changed}
