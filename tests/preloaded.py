"""A small library in C that the linker finds before all others."""

import os
import subprocess
import sys
from pathlib import Path


def run_preloaded(folder: Path, source: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process with the source, compiled, in LD_PRELOAD, where the code finds its path too."""
    written, shared = folder / "preloaded.c", folder / "preloaded.so"
    written.write_text(source, "utf-8")
    command = ["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", str(written), "-o", str(shared), "-ldl"]
    subprocess.run(command, check=True, timeout=60)
    environment = os.environ | {"LD_PRELOAD": str(shared)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=environment, check=False
    )
