"""MNIST's four files with few of the bundled Fashion-MNIST images, where bntt and torchvision both look for them."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from bntt.data.images import fashion_mnist_bundled

TRAIN, TEST = 640, 320


def write(folder: Path, train: int = TRAIN) -> Path:
    """The folder that torchvision's ``MNIST(root)`` takes; bntt takes its ``MNIST/raw``."""
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    splits = fashion_mnist_bundled()
    for stem, part, count in (("train", splits.train, train), ("t10k", splits.test, TEST)):
        images, labels = part.images[:count, 0].numpy(), part.labels[:count].numpy().astype(np.uint8)
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, *images.shape) + images.tobytes())
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, len(labels)) + labels.tobytes())
    return folder


def spoil_label(folder: Path, label: int) -> None:
    """Give the tenth training image a label."""
    file = folder / "MNIST" / "raw" / "train-labels-idx1-ubyte"
    values = bytearray(file.read_bytes())
    values[8 + 9] = label
    file.write_bytes(values)
