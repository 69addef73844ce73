"""The fast suite under forced instruction sets: ``python -m tests.processors [ROW ...]``, a table of passed and failed.

Each row forces NumPy's BLAS, PyTorch's loops, oneDNN, MKL and the project's kernels to what another processor has, and
sets the number of threads. A row whose kernels this processor does not have is not run, and says so. Every value stands
in two rows or more with different company, so that a failure can be told from its neighbours.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bntt.engine.cpu import library

ROOT = Path(__file__).parents[2]
NAMES = (
    "OPENBLAS_CORETYPE",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "MKL_CBWR",
    "BNTT_TEST_KERNELS",
    "BNTT_TEST_THREADS",
)
ROWS = {
    "as it is": ("", "", "", "", "", ""),
    "two threads": ("", "", "", "", "", "2"),
    "oldest": ("Prescott", "default", "SSE41", "COMPATIBLE", "portable", "1"),
    "oldest, two threads": ("Haswell", "default", "SSE41", "COMPATIBLE", "portable", "2"),
    "Haswell": ("Haswell", "avx2", "AVX2", "AVX2", "avx2", "1"),
    "Zen": ("Zen", "avx2", "AVX512_CORE", "AVX2", "avx2", "2"),
    "SkylakeX": ("SkylakeX", "avx512", "AVX512_CORE", "", "avx512", "1"),
    "newest": ("SkylakeX", "avx512", "AVX512_CORE_AMX", "", "avx512", "2"),
    "mixed": ("Zen", "default", "AVX512_CORE_AMX", "", "portable", "1"),
}
"""Values of the variables by the name of a row; "": left to the machine."""
FAST = ("-n", "2", "--dist", "worksteal", "-m", "not slow and not browser", "-o", "addopts=-q --strict-markers")


def run(values: tuple[str, ...]) -> tuple[str, list[str]]:
    """Run the suite; return its last line, and the names of failed tests."""
    forced = {name: value for name, value in zip(NAMES, values, strict=True) if value}
    command = [sys.executable, "-m", "pytest", *FAST, "-rf", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **forced}, capture_output=True, text=True)
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    log = Path(tempfile.gettempdir()) / f"bntt-processors-{os.getpid()}.log"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"{forced}\n{done.stdout}{done.stderr}\n")
    return (done.stdout.strip().splitlines() or [done.stderr])[-1], failed


def main(names: list[str]) -> int:
    """Print a row as it ends, and the failures after it."""
    print(f"| row | {' | '.join(NAMES)} | result | minutes |\n|{'---|' * (len(NAMES) + 3)}")
    any_failed = False
    for name in names or ROWS:
        began, kernels = time.monotonic(), ROWS[name][NAMES.index("BNTT_TEST_KERNELS")]
        if kernels and kernels not in library.variants():
            print(f"| {name} | {' | '.join(ROWS[name])} | not run: no {kernels} here | |", flush=True)
            continue
        result, failed = run(ROWS[name])
        minutes = (time.monotonic() - began) / 60
        print(f"| {name} | {' | '.join(ROWS[name])} | {result} | {minutes:.1f} |", flush=True)
        for test in failed:
            print(f"  {test}", file=sys.stderr, flush=True)
        any_failed |= bool(failed) or "passed" not in result
    return int(any_failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
