"""Real processes that meet over this machine's loopback, as torchrun would start them."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
ALONE = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "GLOO_SOCKET_IFNAME": "lo", "BNTT_NUM_THREADS": "1"}
ALONE["TORCH_CPP_LOG_LEVEL"] = "ERROR"
"""DDP warns where it looked for parameters without a gradient and found none."""


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


def started(count: int, *arguments: str, folders: Sequence[Path] = ()) -> list[subprocess.Popen]:
    """So many processes of ``python -m arguments``, rank by rank, each in its folder."""
    shared = {**os.environ, **ALONE, "WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1"}
    shared["MASTER_PORT"] = str(free_port())
    return [
        subprocess.Popen(
            [sys.executable, "-m", *arguments],
            env={**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folders[rank] if folders else ROOT,
        )
        for rank in range(count)
    ]


def ended(processes: list[subprocess.Popen], seconds: float = 900) -> list[tuple[int, str, str]]:
    """Exit code, standard output and standard error of each."""
    found = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=seconds)
            found.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return found
