"""Events per second from file to frames on one core: ``python -m tests.data.event_speed``. Nothing is asserted."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.formats import read_aedat2, read_event_archive, read_nmnist
from tests.data.damaged import VERSION


def recordings(folder: Path, count: int) -> dict[str, Path]:
    rng = np.random.default_rng(0)
    address, t = rng.integers(0, 1 << 15, count), np.sort(rng.integers(0, 1 << 22, count))
    dvs, nmnist, npz = folder / "a.aedat", folder / "a.bin", folder / "a.npz"
    dvs.write_bytes(VERSION + np.stack([address, t], 1).astype(">u4").tobytes())
    rows = [address % 34, address // 34 % 34, (address & 1) << 7 | t >> 16, t >> 8 & 255, t & 255]
    nmnist.write_bytes(np.stack(rows, 1).astype(np.uint8).tobytes())
    np.savez(npz, t=t, x=(address % 128).astype("u2"), y=(address // 256).astype("u2"), p=(address & 1).astype("u1"))
    return {"aedat2": dvs, "nmnist": nmnist, "npz": npz}


READ = {
    "aedat2": read_aedat2,
    "nmnist": read_nmnist,
    "npz": lambda path: read_event_archive(path, height=128, width=128),
}


def main() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for count in (20_000, 200_000, 2_000_000):
        with tempfile.TemporaryDirectory() as folder:
            for kind, path in recordings(Path(folder), count).items():
                side = 34 if kind == "nmnist" else 42
                for by in ("time", "count"):
                    seconds = []
                    for _ in range(max(5, 4_000_000 // count)):
                        began = time.process_time()  # of this process: others share the core
                        to_frames(READ[kind](path), Binning(20, side, side, by=by))
                        seconds.append(time.process_time() - began)
                    rate = count / float(np.median(seconds)) / 1e6
                    print(f"{kind}, {count:,} events, by {by}: {rate:.1f} million events per second of one core")


if __name__ == "__main__":
    main()
