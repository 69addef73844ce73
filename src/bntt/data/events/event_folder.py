"""A folder of recordings, one sub-folder per class, converted to frames one by one: a verified file per part."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path, PurePosixPath

import numpy as np

from bntt.data.events.binning import Binning, Events, to_frames
from bntt.data.events.formats import EventFormat, is_simulated
from bntt.data.listing import ListedFile, Listing, by_class, folder_listing, listing_digest
from bntt.data.prepared import PARTS, FrameFile, Manifest, load_prepared, replacing, write_manifest
from bntt.data.samples import FrameSplits, Progress, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import digest, digest_of_text, read_json, write_json

SPLIT = "split.json"
TEST_SHARE = 0.1
"""Share of test recordings: 9,000 and 1,000 of CIFAR10-DVS."""
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
    listed, split = _fingerprint(root, files), split_digest(files)
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


def load_events(folder: Path, manifest: Manifest) -> Splits | FrameSplits:
    """Load and verify the two parts; the files are mapped, and read in batches."""
    found = load_prepared(folder, manifest)
    with refusing(f"{folder / SPLIT} cannot be read", remedy="prepare the recordings again"):
        if split_digest(read_json(folder / SPLIT)) != manifest.details.get("split"):
            raise ValueError(f"it is not the split that {manifest.name} was prepared with")
    return found


def recordings_fingerprint(root: Path, kind: EventFormat) -> str:
    """Compute the ``fingerprint`` in the manifest of these recordings, without reading them."""
    return _fingerprint(root, _parts(root, kind, TEST_SHARE))


def _fingerprint(root: Path, files: dict[str, dict[str, Path]]) -> str:
    return listing_digest(root, sorted(path for part in files.values() for path in part.values()))


def _label(recording: str) -> str:
    return recording.partition("/")[0]


def _parts(root: Path, kind: EventFormat, test_share: float) -> dict[str, dict[str, Path]]:
    """Return the recordings of each part by name, ``<class>/<file without its ending>``."""
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
