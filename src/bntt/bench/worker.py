"""One variant in a process of its own: builds its step, then runs one for every line that it receives.

``python -m bntt.bench.worker '{"variant": ..., "case": {...}}'`` answers every line with one of JSON: seconds, and the
peak of resident memory over what the process held before its first step. If torchrun's variables say that there are
several processes, each makes this library's step with its part of the batch.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from bntt.bench.cases import VARIANTS, Case, Step, own_step
from bntt.engine.workspace import WORKSPACE
from bntt.io.memory import forget_peak, resident, return_freed_memory
from bntt.training.processes import joined_processes


def main(specification: str) -> int:
    """Serve steps until the input ends."""
    wanted = json.loads(specification)
    case = Case(**wanted["case"])
    with joined_processes(case.device) as processes:
        step = VARIANTS[wanted["variant"]](case) if processes.count == 1 else own_step(case, processes=processes)
        return _serve(step, case)


def _serve(step: Step, case: Case) -> int:
    WORKSPACE.clear()
    return_freed_memory()
    memory = _gpu_memory if case.device.startswith("cuda") else resident
    base = memory("VmRSS")
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    for _ in sys.stdin:
        forget_peak()
        if memory is _gpu_memory:
            torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        step()
        if memory is _gpu_memory:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - began
        sys.stdout.write(json.dumps({"seconds": seconds, "peak_over_base": memory("VmHWM") - base}) + "\n")
        sys.stdout.flush()
    return 0


def _gpu_memory(key: str) -> int:
    """Return bytes of PyTorch's tensors on the GPU, now or at most since the last step began."""
    return torch.cuda.memory_allocated() if key == "VmRSS" else torch.cuda.max_memory_allocated()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
