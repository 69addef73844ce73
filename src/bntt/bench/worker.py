"""One variant in a process of its own: builds its step, then runs one for every line that it receives.

``python -m bntt.bench.worker '{"variant": ..., "case": {...}}'`` answers every line with one of JSON: seconds, and the
peak of resident memory over what the process held before its first step.
"""

from __future__ import annotations

import ctypes
import json
import sys
import time
from pathlib import Path

import torch


def main(specification: str) -> int:
    """Serve steps until the input ends."""
    wanted = json.loads(specification)
    from bntt.bench.cases import VARIANTS, Case
    from bntt.engine.workspace import WORKSPACE

    case = Case(**wanted["case"])
    step = VARIANTS[wanted["variant"]](case)
    WORKSPACE.clear()
    _return_freed_memory()
    memory = _gpu_memory if case.device.startswith("cuda") else _resident
    base = memory("VmRSS")
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        _forget_peak(case.device)
        began = time.perf_counter()
        step()
        if memory is _gpu_memory:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        sys.stdout.write(json.dumps({"seconds": seconds, "peak_over_base": memory("VmHWM") - base}) + "\n")
        sys.stdout.flush()
    return 0


def _resident(key: str) -> int:
    """Return bytes, from the kernel's own account; 0 where there is none."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)


def _gpu_memory(key: str) -> int:
    """Return bytes of PyTorch's tensors on the GPU, now or at most since the last step began."""
    return torch.cuda.memory_allocated() if key == "VmRSS" else torch.cuda.max_memory_allocated()


def _return_freed_memory() -> None:
    """Return freed memory to the system: leftovers of making the network are not part of the base."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; elsewhere the base is that much larger
    if trim is not None:
        trim(0)


def _forget_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
            file.write("5")
    except OSError:
        pass  # not Linux: the peak is that of the whole process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
