"""Prepared datasets: a verified tensor file for each part, and a manifest."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter
from torch import Tensor

from bntt.data.samples import FrameSet, FrameSplits, ImageSet, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import digest, digest_of_bytes, digest_of_values, read_json, write_json

FORMAT = 1
PARTS = ("train", "test")
Part = Annotated[str, Field(pattern="^(train|validation|test)$")]
HEADER = 512
"""Bytes of length and header, padded with spaces, since the header is known only at the end."""
CHUNK = 1 << 22


@dataclass(frozen=True)
class Manifest:
    """Content and origin of a prepared folder."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)

    name: str
    source: str
    """File or folder that was read."""
    check: str
    """Result of the checksums: "published", they match; "unchecked", none is published for this form; "modified", they
    differ; "built in", no file was read; "simulated", recordings that no camera made."""
    images: dict[Part, PositiveInt]
    """Number of images of each part."""
    shape: Annotated[list[PositiveInt], Field(min_length=1)]
    """``[C, H, W]`` of images, ``[T, C, H, W]`` or ``[T, F]`` of frames."""
    classes: list[str]
    sha256: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each tensor file, or of what the file would contain."""
    fingerprint: str = ""
    """Digest of the file list of a folder of images or recordings when it was read."""
    format: int = FORMAT
    details: dict[str, object] = field(default_factory=dict)
    """How recordings were framed and split, and the resulting counts."""


_MANIFESTS = TypeAdapter(Manifest)


def cache_root() -> Path:
    """Return the folder of prepared datasets: ``$BNTT_DATA``, else ``bntt`` in the user's cache folder."""
    if chosen := os.environ.get("BNTT_DATA"):
        return Path(chosen)
    if cache := os.environ.get("XDG_CACHE_HOME"):
        return Path(cache) / "bntt"
    if home := os.environ.get("HOME"):
        return Path(home) / ".cache" / "bntt"
    raise DataError("no folder for prepared data: set BNTT_DATA, or HOME")


def write_prepared(
    folder: Path,
    parts: Mapping[str, ImageSet | FrameSet],
    *,
    name: str,
    source: Path,
    check: str,
    fingerprint: str = "",
) -> Manifest:
    """Write the parts and the manifest; an existing folder is replaced when the new one is complete."""
    with replacing(folder) as new:
        sums = {}
        for part, data in parts.items():
            file = new / f"{part}.safetensors"
            with refusing(f"{file} could not be written", safetensors.SafetensorError, error=OSError):  # it wraps one
                safetensors.torch.save_file(_tensors(data), file)
            sums[part] = digest(file)
        return write_manifest(new, manifest_of(parts, name, str(source), check, sums, fingerprint))


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write a manifest with its checksum, and return it."""
    values = asdict(manifest)
    write_json(folder / "manifest.json", {**values, "checksum": digest_of_values(values)})
    return manifest


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder next to this one, and move it into place at the end of the block, when it is complete."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=folder.name, suffix=".tmp", dir=folder.parent))
    new, old = aside / "new", aside / "old"
    try:
        new.mkdir()  # with the umask's permissions; only the user can read mkdtemp's own folder
        yield new
        if folder.is_dir():
            folder.replace(old)
        new.replace(folder)
    finally:
        if old.exists() and not folder.exists():
            old.replace(folder)
        shutil.rmtree(aside, ignore_errors=True)


def _tensors(data: ImageSet | FrameSet) -> dict[str, Tensor]:
    if isinstance(data, ImageSet):
        return {"images": data.images.contiguous(), "labels": data.labels.contiguous()}
    frames = data.frames if data.rows is None else data.frames[data.rows]
    frames = frames if data.scale == 1 else frames.float() * data.scale
    return {"frames": frames.contiguous(), "labels": data.labels.contiguous()}


def manifest_of(
    parts: Mapping[str, ImageSet | FrameSet],
    name: str,
    source: str = "",
    check: str = "built in",
    sums: dict[str, str] | None = None,
    fingerprint: str = "",
) -> Manifest:
    """Make a manifest; without files, its checksums are those of the files that the data would be written to."""
    sums = sums or {part: digest_of_bytes(safetensors.torch.save(_tensors(data))) for part, data in parts.items()}
    counts, first = {part: len(data) for part, data in parts.items()}, next(iter(parts.values()))
    shape = list((first.images if isinstance(first, ImageSet) else first.frames).shape[1:])
    return Manifest(name, source, check, counts, shape, list(first.classes), sums, fingerprint)


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a prepared folder; None if nothing was prepared."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    with refusing(f"{path} is damaged", remedy="prepare the dataset again", error=DataError):
        values = read_json(path)
        if (found := values.get("format", FORMAT)) != FORMAT:
            raise DataError(f"{path} has format {found!r}, this version reads {FORMAT}: prepare the data again")
        if (sha256 := values.pop("checksum", None)) not in (None, digest_of_values(values)):  # old manifests have none
            raise ValueError(f"its values do not match its checksum, {str(sha256)[:64]}")
        manifest = manifest_from(values)
        if manifest.sha256.keys() != manifest.images.keys():
            raise ValueError("it lacks checksums or numbers of images")
    return manifest


def manifest_from(values: Any) -> Manifest:
    """Make a manifest from the values in a file."""
    return _MANIFESTS.validate_json(json.dumps(values))  # strict, lists and tables as JSON has them


def verify_prepared(folder: Path, manifest: Manifest) -> None:
    """Compare the tensor files with the checksums recorded when they were made."""
    for part, expected in manifest.sha256.items():
        file = folder / f"{part}.safetensors"
        if not file.is_file():
            raise DataError(f"{file} is missing: prepare {manifest.name} again")
        if digest(file) != expected:
            raise DataError(f"{file} has changed since it was prepared (SHA-256): prepare {manifest.name} again")


def load_prepared(folder: Path, manifest: Manifest) -> Splits | FrameSplits:
    """Load the two parts after :func:`verify_prepared`; files are mapped, and read when samples are taken from them."""
    verify_prepared(folder, manifest)
    parts: list[Any] = [load_part(folder, manifest, part) for part in PARTS]
    return Splits(*parts) if isinstance(parts[0], ImageSet) else FrameSplits(*parts)


def load_part(folder: Path, manifest: Manifest, part: str) -> ImageSet | FrameSet:
    """Load one part from its file, which is mapped: images ``[C, H, W]``, or frames, which also have a time axis."""
    kind: type[ImageSet | FrameSet] = ImageSet if len(manifest.shape) == 3 else FrameSet
    file, values = folder / f"{part}.safetensors", "images" if kind is ImageSet else "frames"
    with refusing(f"{file} cannot be read", remedy=f"prepare {manifest.name} again"):
        tensors = safetensors.torch.load_file(file)
        found = list(tensors[values].shape)
        if found != (expected := [manifest.images[part], *manifest.shape]):
            raise ValueError(f"{values} {found}, its manifest says {expected}")
        return kind(tensors[values], tensors["labels"], tuple(manifest.classes))


class FrameFile:
    """File of ``frames`` ``[N, T, C, H, W]`` and ``labels`` ``[N]``, uint8 until a sample has uint16 counts."""

    def __init__(self, path: Path, shape: Sequence[int], labels: Sequence[int]) -> None:
        self.path, self.shape, self.labels = path, tuple(shape), np.array(labels, "<i8")
        self.bits = 8

    def __enter__(self) -> FrameFile:
        self._file = self.path.open("w+b")
        self._file.write(bytes(HEADER) + self.labels.tobytes())
        return self

    def add(self, counts: Tensor) -> None:
        """Write the next sample, ``[T, C, H, W]``."""
        if counts.dtype == torch.uint16 and self.bits == 8:
            self._widen()
        self._file.write(counts.numpy().astype(f"<u{self.bits // 8}").tobytes())

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        past = len(self.labels) * 8
        frames = past + math.prod(self.shape) * self.bits // 8
        header = {
            "labels": {"dtype": "I64", "shape": [len(self.labels)], "data_offsets": [0, past]},
            "frames": {"dtype": f"U{self.bits}", "shape": self.shape, "data_offsets": [past, frames]},
        }
        with self._file:
            if error is None:
                self._file.seek(0)
                self._file.write((HEADER - 8).to_bytes(8, "little") + json.dumps(header).encode().ljust(HEADER - 8))

    def _widen(self) -> None:
        """Widen the samples so far to 16 bits, from the end, so that none is overwritten before it is read."""
        start = HEADER + len(self.labels) * 8
        for first in range((self._file.tell() - start) // CHUNK * CHUNK, -1, -CHUNK):
            self._file.seek(start + first)
            part = np.frombuffer(self._file.read(CHUNK), np.uint8)
            self._file.seek(start + 2 * first)
            self._file.write(part.astype("<u2").tobytes())
        self._file.seek(0, 2)
        self.bits = 16
