"""Rebuild the images inside the wheel from Debian's package ``dataset-fashion-mnist``.

python -m tests.golden.make_fashion_mnist /usr/share/datasets/fashion-mnist
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parents[2] / "src/bntt/data/fashion_mnist.npz"


def first_of_each_class(folder: Path, stem: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The first ``count`` images of every class, in the order of the files."""
    labels = np.frombuffer(gzip.decompress((folder / f"{stem}-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
    pixels = np.frombuffer(gzip.decompress((folder / f"{stem}-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8)
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == label)[:count] for label in range(10)]))
    return pixels.reshape(-1, 28, 28)[chosen], labels[chosen]


def bundle(folder: Path) -> dict[str, np.ndarray]:
    """The four arrays of ``fashion_mnist.npz``."""
    arrays = {}
    for part, stem, count in (("train", "train", 500), ("test", "t10k", 100)):
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = first_of_each_class(folder, stem, count)
    return arrays


if __name__ == "__main__":
    np.savez_compressed(TARGET, **bundle(Path(sys.argv[1])))
    sys.stdout.write(f"wrote {TARGET} ({TARGET.stat().st_size:,} bytes)\n")
