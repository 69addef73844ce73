"""Memory of this process, by the kernel's own account."""

from __future__ import annotations

import ctypes
from pathlib import Path


def resident(key: str = "VmRSS") -> int:
    """Return bytes: what the process holds now, or "VmHWM", the most so far; 0 where there is no such account.

    >>> resident() <= resident("VmHWM")
    True
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)


def return_freed_memory() -> None:
    """Return freed memory to the system: leftovers of making a network are not part of what running it takes."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; elsewhere what is held is that much larger
    if trim is not None:
        trim(0)
