"""Prepared datasets: a verified tensor file for each part, and a manifest."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
import safetensors
import safetensors.torch
import torch
from pydantic import ConfigDict, Field, PositiveInt, TypeAdapter, ValidationError
from torch import Tensor

from bntt.data.events.binning import Binning, Events, to_frames
from bntt.data.events.formats import EventFormat, is_simulated
from bntt.data.listing import ListedFile, Listing, by_class, folder_listing, listing_digest
from bntt.data.samples import FrameSet, FrameSplits, ImageSet, Progress, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import digest, digest_of_bytes, digest_of_text, digest_of_values, read_json, write_json

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
    try:
        return _MANIFESTS.validate_json(json.dumps(values))  # strict, lists and tables as JSON has them
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{(*first['loc'], 'it')[0]} is {first['input']!r:.100}: {first['msg']}") from None


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


SPLIT = "split.json"
TEST_SHARE = 0.1
"""Share of test recordings: 9,000 and 1,000 of CIFAR10-DVS."""
Recordings = dict[str, dict[str, Path]]
"""Files of each part by name, ``<class>/<file without its ending>``."""
PLACES = {"train": ("train",), "test": ("test", "val")}
"""Names of each part's folder, in lower case; the first that exists is used, as for images."""


def prepare_events(
    root: Path,
    folder: Path,
    binning: Binning,
    kind: EventFormat,
    *,
    name: str,
    test_share: float = TEST_SHARE,
    simulated: bool | None = None,
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Read every recording of ``root`` and write ``folder``: a tensor file per part, the split, the manifest."""
    files = _parts(root, kind, test_share)
    listed, split = recordings_fingerprint(root, kind, files), split_digest(files)
    labels = {label: number for number, label in enumerate(sorted({_label(recording) for recording in files["train"]}))}
    size = [binning.num_steps, 2, binning.height, binning.width]
    total, contents = sum(map(len, files.values())), dict[str, dict[str, str]]()
    counted, bits, empty = dict.fromkeys(("events", "left_out", "saturated", "simulated"), 0), dict[str, int](), 0.0
    with replacing(folder) as new:
        sums, sensor = {}, None
        for part, recordings in files.items():
            target, contents[part] = new / f"{part}.safetensors", {}
            numbers = [labels[_label(recording)] for recording in recordings]
            with FrameFile(target, [len(numbers), *size], numbers) as file:
                for recording, path in recordings.items():
                    events = kind.read(path)
                    sensor = rows, columns, other = sensor or (events.height, events.width, path)
                    if (events.height, events.width) != (rows, columns):
                        sizes = f"{events.height}x{events.width}, {other} of {rows}x{columns}"
                        raise DataError(f"{path} is of a sensor of {sizes}: make two sets of them")
                    made = is_simulated(path)
                    if simulated not in (None, made):
                        said, wanted = ("is", "a camera") if made else ("is not", "the simulator")
                        raise DataError(
                            f"{path} {said} simulated: {name} are recordings of {wanted}; use the dataset 'events'"
                        )
                    with refusing(path, ValueError):
                        frames = to_frames(events, binning)
                    file.add(frames.counts)
                    contents[part][recording] = content_of(events)
                    for key, more in zip(counted, (len(events), events.left_out, frames.saturated, made), strict=True):
                        counted[key] += more
                    empty += frames.empty
                    progress(sum(map(len, contents.values())), total)
            sums[part], bits[part] = digest(target), file.bits
        write_json(new / SPLIT, {"sha256": split, **{part: list(found) for part, found in files.items()}})
        details = {
            "binning": asdict(binning),
            "split": split,
            "again": refuse_overlap(contents),
            **counted,
            "empty": empty / total,
            "bits": bits,
        }
        counts = {part: len(recordings) for part, recordings in files.items()}
        check = "simulated" if counted["simulated"] else "unchecked"
        manifest = Manifest(name, str(root.resolve()), check, counts, size, list(labels), sums, listed, details=details)
        return write_manifest(new, manifest)


def recordings_fingerprint(root: Path, kind: EventFormat, files: Recordings | None = None) -> str:
    """Compute the ``fingerprint`` in the manifest of these recordings, without reading them."""
    parts = (files or _parts(root, kind, TEST_SHARE)).values()
    return listing_digest(root, sorted(path for part in parts for path in part.values()))


def _label(recording: str) -> str:
    return recording.partition("/")[0]


def _parts(root: Path, kind: EventFormat, test_share: float) -> Recordings:
    """Return the recordings of each part."""
    if not root.is_dir():
        raise DataError(f"{root} is no folder: expected a folder with one folder of {kind.ending} files per class")

    def wanted(file: ListedFile) -> bool:
        return file.where.lower().endswith(kind.ending)

    def named(listing: Listing) -> dict[str, str]:
        """Return the folder of each part that is there."""
        there = {parts[0].lower(): parts[0] for parts in listing.folders}
        return {part: there[name] for part, names in PLACES.items() for name in reversed(names) if name in there}

    listing, place = folder_listing(root), root
    if not named(listing) and named(inner := listing.inside(top := listing.around(wanted))):
        listing, place = inner, place / top
    if len(places := named(listing)) == len(PARTS):
        files = {part: _recordings(listing.inside(places[part]), place / places[part], kind, wanted) for part in PARTS}
        classes = [{_label(recording) for recording in found} for found in files.values()]
        if differing := sorted(classes[0] ^ classes[1])[:5]:
            raise DataError(f"{root}: the classes of train and test differ: {', '.join(differing)}")
        return files
    for part in map(listing.inside, places.values()):  # that one is a class if recordings lie in it
        if part.folders and not any(len(parts) == 1 and wanted(file) for parts, file in part.files):
            raise DataError(f"{place} has only one part: add train or test (or val), or move the classes out of it")
    every = _recordings(listing, place, kind, wanted)
    return {part: {name: every[name] for name in names} for part, names in split_recordings(every, test_share).items()}


def _recordings(
    listing: Listing, place: Path, kind: EventFormat, wanted: Callable[[ListedFile], bool]
) -> dict[str, Path]:
    """Return the files below each class's folder, by class and file name without its ending."""
    found = dict[str, Path]()
    for entries in by_class(listing, place, wanted).values():
        for parts, file in entries:
            path, name = Path(file.where), str(PurePosixPath(*parts).with_suffix(""))
            if not wanted(file):
                raise DataError(f"{path} is no recording that is read here (a {kind.ending} file): move it away")
            if name in found:
                raise DataError(f"{path} and {found[name]} have the same name: remove one")
            found[name] = path
    return dict(sorted(found.items()))


def split_digest(split: Mapping[str, Iterable[str]]) -> str:
    """Return the SHA-256 of the names in both parts: equal for equal splits."""
    return digest_of_text("".join(f"{part} {name}\n" for part in PARTS for name in split[part]))


def split_recordings(names: Iterable[str], test_share: float = TEST_SHARE) -> dict[str, list[str]]:
    """Choose the same share of every class for testing: the names, without endings, of the lowest SHA-256."""
    classes = defaultdict[str, list[str]](list)
    for name in sorted(names):
        classes[_label(name)].append(name)
    test = set[str]()
    for label, members in classes.items():
        if len(members) < 2:
            raise DataError(f"class {label} has {len(members)} recording: training and test need one each")
        count = min(max(1, round(len(members) * test_share)), len(members) - 1)
        test |= set(sorted(members, key=digest_of_text)[:count])
    every = [name for members in classes.values() for name in members]
    return {"train": [name for name in every if name not in test], "test": [name for name in every if name in test]}


def content_of(events: Events) -> str:
    """Compute a digest of a recording's events, with times relative to the first: the same in every file format."""
    hasher = hashlib.sha256(f"{events.height}x{events.width}".encode())
    for values, kind in ((events.t - events.t[0], "<i8"), (events.x, "<u2"), (events.y, "<u2"), (events.p, "u1")):
        hasher.update(np.ascontiguousarray(values, kind).data)
    return hasher.hexdigest()


def refuse_overlap(contents: Mapping[str, Mapping[str, str]]) -> int:
    """Refuse the same recording in two parts."""
    seen, again = dict[str, tuple[str, str]](), 0
    for part, digests in contents.items():
        for name, content in digests.items():
            other, first = seen.setdefault(content, (part, name))
            if other != part:
                raise DataError(f"{name} ({part}) and {first} ({other}) are the same recording: remove one")
            again += first != name
    return again
