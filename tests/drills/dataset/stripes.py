"""Stripes: a dataset of one's own, from text files of ones and zeros, and all that others ask of it."""

from __future__ import annotations

from pathlib import Path

import torch

from bntt.data import DataError, ImageSet, Splits
from bntt.data.samples import DATASETS, Dataset, Progress

CLASSES = ("across", "down")
SIDE = 8


def read_stripes(folder: Path, progress: Progress) -> Splits:
    """Read ``train.txt`` and ``test.txt``: a line a picture, its class and its 64 pixels of 0 or 1."""
    parts = []
    for number, part in enumerate(("train", "test"), start=1):
        path = folder / f"{part}.txt"
        if not path.is_file():
            raise DataError(f"{path} is missing: stripes are two text files")
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
        pixels = torch.tensor([[255 * int(digit) for digit in row[1]] for row in rows], dtype=torch.uint8)
        labels = torch.tensor([CLASSES.index(row[0]) for row in rows])
        parts.append(ImageSet(pixels.view(-1, 1, SIDE, SIDE), labels, CLASSES))
        progress(number, 2)
    return Splits(*parts)


STRIPES = Dataset(
    "images",
    "MIT",
    classes=len(CLASSES),
    shape=(1, SIDE, SIDE),
    samples=(40, 10),
    augment=("flip",),
    expects="a folder with train.txt and test.txt",
    read=read_stripes,
)
DATASETS.add("stripes", STRIPES)
