"""Datasets by name: find them, check them against published checksums, prepare them once, load them.

The only download of the project is here: https and nothing else, into a file that is kept if its checksum is right.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from http.client import HTTPException, HTTPMessage
from pathlib import Path, PurePosixPath
from ssl import SSLError
from typing import IO, Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

import numpy as np

from bntt.data.events.binning import Binning, Events, to_frames
from bntt.data.events.formats import EventFormat, Framing, is_simulated
from bntt.data.images import Fitting, content_digest, find, fingerprint
from bntt.data.listing import ListedFile, Listing, by_class, files_below, folder_listing, listing_digest, split_by_name
from bntt.data.prepared import (
    PARTS,
    FrameFile,
    Manifest,
    cache_root,
    load_prepared,
    manifest_of,
    read_manifest,
    replacing,
    write_manifest,
    write_prepared,
)
from bntt.data.samples import DATASETS, Dataset, FrameSplits, Progress, Published, Splits
from bntt.io.errors import DataError, refusing
from bntt.io.files import digest, digest_of_text, write_json

CHUNK = 1 << 20


class _HttpsOnly(HTTPRedirectHandler):
    """Redirect handler that refuses any address but https, the first one included."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _require_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_https(url: str) -> None:
    if urlsplit(url).scheme != "https":
        raise DataError(f"refused to download {url}: only https is used")


def download(
    url: str,
    target: Path,
    *,
    md5: str,
    size: int,
    progress: Progress = lambda done, total: None,
    opener: OpenerDirector | None = None,
) -> None:
    """Fetch ``url`` to ``target``: into a ``.part`` file first, which becomes the target when its checksum is right."""
    _require_https(url)
    part = target.with_name(target.name + ".part")
    target.parent.mkdir(parents=True, exist_ok=True)
    hasher, done = hashlib.md5(usedforsecurity=False), 0
    try:
        with (opener or build_opener(_HttpsOnly)).open(Request(url), timeout=60) as answer, part.open("wb") as file:
            while chunk := answer.read(CHUNK):
                done += len(chunk)
                if done > size:
                    raise DataError(f"{url} sent more than the {size} bytes that it should have")
                hasher.update(chunk)
                file.write(chunk)
                progress(done, size)
        if done != size or hasher.hexdigest() != md5:
            published = f"the distributor publishes {size} and {md5}"
            raise DataError(f"{url} sent {done} bytes with MD5 {hasher.hexdigest()}; {published}")
        part.replace(target)
    except (URLError, TimeoutError, ConnectionError, HTTPException, SSLError) as error:
        raise DataError(f"could not download {url}: {error}; fetch it by hand and pass it with --from") from None
    finally:
        part.unlink(missing_ok=True)


Way = Framing | Fitting


def prepared_folder(name: str, root: Path | None = None, framing: Way | None = None) -> Path:
    """Return the folder of the prepared dataset, existing or not; for the user's own files, ``root`` is in its name."""
    tag = [framing.tag(name)] if framing else []
    if "root" not in DATASETS[name].needs:
        return cache_root() / "-".join([name, *tag])
    if root is None:
        raise DataError(f"the dataset {name!r} needs the folder that it is in")
    place = root.expanduser().resolve()
    return cache_root() / "-".join([name, place.name, digest_of_text(str(place))[:12], *tag])


def prepared_folders(name: str, source: Path | None = None) -> Iterator[tuple[Path, Manifest]]:
    """Yield every folder prepared from a dataset, or from one source of it, in order of name: one for each framing."""
    own = "" if source is None else str(source.expanduser().resolve())
    for folder in [cache_root() / name, *sorted(cache_root().glob(f"{name}-*"))]:
        manifest = read_manifest(folder)
        if manifest is not None and manifest.name == name and own in ("", manifest.source):
            yield folder, manifest


def simulated_root(images: str) -> Path:
    """Return the default folder of recordings simulated from a set of images."""
    return cache_root() / "simulated" / images


def locate(name: str, source: Path | None = None) -> Path | None:
    """Return the given source, or the first usual place that exists."""
    dataset = DATASETS[name]
    if source is None:
        usual = (simulated_root(dataset.simulated),) if dataset.simulated else dataset.usual
        return next((path for path in usual if path.is_dir()), None)
    source, state = source.expanduser(), ""
    if source.is_dir():
        state = "" if any(source.iterdir()) else "is empty"
    elif dataset.formats or not source.exists():
        state = "is no folder" if source.exists() else "does not exist"
    if state:
        raise DataError(f"{source} {state}: {name} is read from {dataset.expects}")
    return source


def prepare(
    name: str,
    source: Path | None = None,
    *,
    framing: Way | None = None,
    download: bool = False,
    allow_modified: bool = False,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, Manifest]:
    """Read a dataset from its files, verify it, and write the tensor files that training uses.

    Args:
        name: name of the dataset.
        source: its file or folder; by default the usual places are tried, then ``download``.
        framing: conversion of recordings to frames, or of a folder's images to one shape; None: images as they are.
        download: download the files if they are not found.
        allow_modified: continue if a published checksum does not match; the manifest then says "modified".
        progress: called with ``(done, total)``: bytes while downloading, samples while they are read.

    Returns:
        The folder of the tensor files, and their manifest.

    Raises:
        DataError: if there is no such dataset; if the source is missing, damaged or not as published; or if recordings
            are simulated where a camera's are expected, or the reverse.

    >>> prepare("tiny-imagenet", Path("nowhere"))
    Traceback (most recent call last):
    bntt.io.errors.DataError: nowhere does not exist: tiny-imagenet is read from the unpacked folder tiny-imagenet-200
    """
    dataset = DATASETS[name]
    kind = framing.of(name)[1] if isinstance(framing, Framing) else None
    found = locate(name, source)
    if found is None and download:
        found = _download(name, dataset, progress)
    if found is None:
        here = "prepared with these frames" if kind else "here"
        flags = " (with --steps, --size and the others as in the recipe)" if kind else ""
        raise DataError(f"{name} is not {here}: {'; or '.join(ways_to_get(name))}{flags}")
    folder = prepared_folder(name, found, framing)
    if isinstance(framing, Framing) and kind:
        simulated = None if "root" in dataset.needs else bool(dataset.simulated)
        return folder, prepare_events(
            found, folder, framing.binning, kind, name=name, simulated=simulated, progress=progress
        )
    if dataset.read is None:
        raise DataError(f"{name} is not read from files")
    check = check_published(dataset, found)
    if check == "modified" and not allow_modified:
        how = "get it again, or pass --allow-modified-data"
        raise DataError(f"{found} is not the published {name} (its checksum differs): {how}")
    listing = _fingerprint(dataset, found)  # before reading: a change meanwhile is noticed later
    parts = dataset.read(found, progress, **({"fitting": framing} if framing else {}))._asdict()
    return folder, write_prepared(folder, parts, name=name, source=found.resolve(), check=check, fingerprint=listing)


def open_dataset(
    name: str, root: Path | None = None, progress: Progress = lambda done, total: None
) -> tuple[Splits, Manifest]:
    """Return a set of images and its manifest: generated, prepared earlier, or prepared now from its usual place.

    Args:
        name: name of the dataset.
        root: its file or folder; by default the usual places.
        progress: called with ``(done, total)``: samples while they are read.

    Raises:
        DataError: if there is no such dataset; if no files are found, with the command that gets them; if the dataset
            was prepared from a place other than ``root``; or if it does not consist of images.

    >>> splits, manifest = open_dataset("synthetic")
    >>> splits.train.images.shape
    torch.Size([2000, 3, 32, 32])
    """
    splits, manifest = open_samples(name, root=root, progress=progress)
    if not isinstance(splits, Splits):
        raise DataError(f"{name} has {DATASETS[name].kind} and no images")
    return splits, manifest


def open_samples(
    name: str, framing: Way | None = None, root: Path | None = None, progress: Progress = lambda done, total: None
) -> tuple[Splits | FrameSplits, Manifest]:
    """Open a dataset of any kind, as :func:`open_dataset` does."""
    dataset = DATASETS[name]
    if dataset.make:
        made = dataset.make()
        return made, manifest_of(made._asdict(), name)
    folder = prepared_folder(name, root, framing)
    manifest = read_manifest(folder)
    if manifest is None:
        folder, manifest = prepare(name, root, framing=framing, progress=progress)
    else:
        _check_source(name, root, framing, manifest)
    return load_prepared(folder, manifest), manifest


def _check_source(name: str, root: Path | None, framing: Way | None, manifest: Manifest) -> None:
    source = Path(manifest.source)
    again = f"bntt data prepare {name} --from {root or source}" + (", with the same flags" if framing else "")
    if root is not None and str(root.expanduser().resolve()) != manifest.source:
        raise DataError(f"{name} was prepared from {source}, not from {root}; to change that: {again}")
    if manifest.fingerprint and source.exists():
        kind, dataset = framing.of(name)[1] if isinstance(framing, Framing) else None, DATASETS[name]
        if manifest.fingerprint != (recordings_fingerprint(source, kind) if kind else _fingerprint(dataset, source)):
            how = "" if kind or dataset.fits else ", or the file of the function that reads them,"
            raise DataError(f"the files in {source}{how} have changed since they were prepared: {again}")


def _fingerprint(dataset: Dataset, source: Path) -> str:
    """Compute the fingerprint of the user's own files, with the code of their own reader; "" for published files."""
    if dataset.fits:
        return fingerprint(source)
    if "root" not in dataset.needs and getattr(dataset.read, "__module__", "bntt.").startswith("bntt."):
        return ""
    listed = listing_digest(source, [source] if source.is_file() else files_below(source))
    with suppress(OSError, TypeError):  # Python may not find the code
        read: Any = dataset.read
        return digest_of_text(f"{listed} {inspect.getsource(read)} {inspect.getsource(inspect.getmodule(read))}")  # type: ignore[arg-type]
    return listed


def check_published(dataset: Dataset, source: Path) -> str:
    """Compare the files to be read with the published ones: "published", "modified" or "unchecked"."""
    published = dataset.published
    if source.is_file() and len(published) == 1:
        return "published" if digest(source, "md5") == published[0].md5 else "modified"
    if source.is_file() or len(published) < 2:
        return "unchecked"  # nothing is published, or not for an archive's unpacked files
    found = {_check_file(find(source, item.name.removesuffix(".gz")), item) for item in published}
    return next(worst for worst in ("modified", "unchecked", "published") if worst in found)


def _check_file(path: Path, item: Published) -> str:
    packed = path.suffix == ".gz"
    if packed and digest(path, "md5") == item.md5:
        return "published"
    if not item.sha256:
        return "modified" if packed else "unchecked"
    return "published" if content_digest(path) == item.sha256 else "modified"


def _download(name: str, dataset: Dataset, progress: Progress) -> Path:
    if not dataset.published:
        raise DataError(f"{name} has no published checksum: get {dataset.expects}, and pass it with --from")
    folder = cache_root() / "downloads" / name
    for item in dataset.published:
        target = folder / item.name
        if not (target.is_file() and digest(target, "md5") == item.md5):
            download(item.url, target, md5=item.md5, size=item.size, progress=progress)
    return folder if len(dataset.published) > 1 else folder / dataset.published[0].name


def ways_to_get(name: str) -> list[str]:
    """List the commands that fetch a dataset; none for one that is built in."""
    dataset = DATASETS[name]
    if dataset.make:
        return []
    ways = [f"bntt data simulate {dataset.simulated} makes its recordings"] if dataset.simulated else []
    ways += [f"bntt data prepare {name} --from PATH, where PATH is {dataset.expects}"]
    ways += [f"bntt data prepare {name} --download"] if dataset.published else []
    ways += [f"install a package that puts it in {path} (Debian: dataset-{name})" for path in dataset.usual]
    return ways


SPLIT = "split.json"
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
    simulated: bool | None = None,
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Read every recording of ``root`` and write ``folder``: a tensor file per part, the split, the manifest."""
    files = _parts(root, kind)
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
                        use = f"{name} are recordings of {wanted}; use the dataset 'events'"
                        raise DataError(f"{path} {said} simulated: {use}")
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
        refuse_overlap(contents)
        details = {"binning": asdict(binning), "split": split, **counted, "empty": empty / total, "bits": bits}
        counts = {part: len(recordings) for part, recordings in files.items()}
        check = "simulated" if counted["simulated"] else "unchecked"
        manifest = Manifest(name, str(root.resolve()), check, counts, size, list(labels), sums, listed, details=details)
        return write_manifest(new, manifest)


def recordings_fingerprint(root: Path, kind: EventFormat, files: Recordings | None = None) -> str:
    """Compute the ``fingerprint`` in the manifest of these recordings, without reading them."""
    parts = (files or _parts(root, kind)).values()
    return listing_digest(root, sorted(path for part in parts for path in part.values()))


def _label(recording: str) -> str:
    return recording.partition("/")[0]


def _parts(root: Path, kind: EventFormat) -> Recordings:
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
    return {part: {name: every[name] for name in names} for part, names in split_by_name(every).items()}


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


def content_of(events: Events) -> str:
    """Compute a digest of a recording's events, with times relative to the first: the same in every file format."""
    hasher = hashlib.sha256(f"{events.height}x{events.width}".encode())
    for values, kind in ((events.t - events.t[0], "<i8"), (events.x, "<u2"), (events.y, "<u2"), (events.p, "u1")):
        hasher.update(np.ascontiguousarray(values, kind).data)
    return hasher.hexdigest()


def refuse_overlap(contents: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse the same recording in two parts."""
    seen = dict[str, tuple[str, str]]()
    for part, digests in contents.items():
        for name, content in digests.items():
            other, first = seen.setdefault(content, (part, name))
            if other != part:
                raise DataError(f"{name} ({part}) and {first} ({other}) are the same recording: remove one")
