"""Tiny-ImageNet-200: its folder, or the published zip unpacked. The validation images are its test part."""

from __future__ import annotations

from pathlib import Path

from bntt.data.images.image_folder import Fitting, stacked
from bntt.data.listing import ListedFile
from bntt.data.registry import Dataset, Progress, register
from bntt.data.samples import Splits
from bntt.io.errors import DataError, refusing

ANNOTATIONS = "val/val_annotations.txt"


def read_tiny_imagenet(root: Path, progress: Progress = lambda done, total: None) -> Splits:
    """Read ``wnids.txt``, ``train/<wnid>/images/*.JPEG``, ``val/images/*.JPEG`` with ``val/val_annotations.txt``."""
    wnids = sorted(_text(root / "wnids.txt").split())
    number = {wnid: label for label, wnid in enumerate(wnids)}
    if not wnids:
        raise DataError(f"{root}/wnids.txt names no class")
    training, testing = list[tuple[ListedFile, int]](), list[tuple[ListedFile, int]]()
    for wnid, label in number.items():
        _check_name(root / "wnids.txt", wnid)
        found = sorted((root / "train" / wnid / "images").glob("*.JPEG"))
        if not found:
            raise DataError(f"{root}/train/{wnid}/images holds no .JPEG file")
        training += [(ListedFile.at(path), label) for path in found]
    for row, line in enumerate(_text(root / ANNOTATIONS).splitlines(), start=1):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in number:
            raise DataError(f"{root}/{ANNOTATIONS}, line {row}: expected <file> <wnid> ..., got {line[:60]!r}")
        _check_name(root / ANNOTATIONS, fields[0])
        testing.append((ListedFile.at(root / "val" / "images" / fields[0]), number[fields[1]]))
    if not testing:
        raise DataError(f"{root}/{ANNOTATIONS} names no image")
    return stacked([training, testing], tuple(wnids), Fitting(mode="rgb"), progress)


def _check_name(where: Path, name: str) -> None:
    """Refuse a name that would lead out of its folder, or that no file can have."""
    if Path(name).name != name or len(name) > 200 or not name.isprintable():
        raise DataError(f"{where} names {name[:60]!r}: expected the name of one file")


def _text(path: Path) -> str:
    if not path.is_file():
        raise DataError(f"{path} is missing: expected the folder tiny-imagenet-200")
    with refusing(f"{path} is not text", UnicodeDecodeError):
        return path.read_text(encoding="utf-8")


register(
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
