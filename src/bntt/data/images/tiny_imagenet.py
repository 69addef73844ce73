"""Tiny-ImageNet-200: its folder, or the published zip unpacked. The validation images are its test part."""

from __future__ import annotations

from pathlib import Path

from bntt.data.images.image_folder import Fitting, stacked
from bntt.data.listing import ListedFile
from bntt.data.samples import DATASETS, Dataset, Progress, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import read_file


def read_tiny_imagenet(root: Path, progress: Progress = lambda done, total: None) -> Splits:
    """Read ``wnids.txt``, ``train/<wnid>/images/*.JPEG``, ``val/images/*.JPEG`` with ``val/val_annotations.txt``."""
    names, annotations = root / "wnids.txt", root / "val" / "val_annotations.txt"
    wnids = sorted(_text(names).split())
    number = {_name(names, wnid): label for label, wnid in enumerate(wnids)}
    training = [
        (ListedFile.at(path), label)
        for wnid, label in number.items()
        for path in _images(root / "train" / wnid / "images")
    ]
    testing = []
    for row, line in enumerate(_text(annotations).splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in number:
            known = f"one of {len(number)} names of wnids.txt"
            raise DataError(f"{annotations}, line {row}: expected <file> and {known}, got {line[:60]!r}")
        path = root / "val" / "images" / _name(annotations, fields[0])
        testing.append((ListedFile.at(path), number[fields[1]]))
    if not testing:
        raise DataError(f"{annotations} names no image")
    return stacked([training, testing], tuple(wnids), Fitting(mode="rgb"), progress)


def _images(folder: Path) -> list[Path]:
    found = sorted(folder.glob("*.JPEG"))
    if not found:
        raise DataError(f"{folder} holds no .JPEG file")
    return found


def _name(where: Path, name: str) -> str:
    """Return a name; refuse one that would lead out of its folder, or that no file can have."""
    if Path(name).name != name or len(name) > 200 or not name.isprintable():
        raise DataError(f"{where} names {name[:60]!r}: expected the name of one file")
    return name


def _text(path: Path) -> str:
    with refusing(f"{path} is not text", UnicodeDecodeError):
        return read_file(path).decode("utf-8")


DATASETS.add(
    "tiny-imagenet",
    Dataset(
        "images",
        "ImageNet's terms of access, only for research and education",
        classes=200,
        shape=(3, 64, 64),
        samples=(100_000, 10_000),
        augment=("crop", "flip"),
        expects="the unpacked folder tiny-imagenet-200",
        read=read_tiny_imagenet,
    ),
)
