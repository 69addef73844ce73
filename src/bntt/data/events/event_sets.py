"""The sets of recordings by name: where they lie, in which formats, and the frames that were made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bntt.data.errors import DataError
from bntt.data.events.binning import Binning
from bntt.data.events.event_folder import FrameSplits, Progress, load_events, prepare_events, recordings_fingerprint
from bntt.data.events.formats import EVENT_FORMATS, EventFormat, read_event_archive
from bntt.data.prepared import Manifest, cache_root, read_manifest
from bntt.io.files import digest_of_text


@dataclass(frozen=True)
class EventSet:
    """One set of recordings."""

    expects: str
    """What ``--from`` takes."""
    formats: tuple[str, ...]
    """Of its files, out of ``EVENT_FORMATS``; the first where a recipe names none."""
    simulated: str = ""
    """The set of images that its recordings are simulated from; "": a camera's."""


EVENT_SETS: dict[str, EventSet] = {
    "dvs-cifar10": EventSet(
        "the unpacked CIFAR10-DVS, a folder a class with the recordings", ("aedat2", "aedat2-raw", "aedat4")
    ),
    "n-mnist": EventSet("the unpacked N-MNIST, Train and Test with a folder a class", ("nmnist",)),
    "cifar10-simulated": EventSet("what bntt data simulate cifar10 wrote", ("aedat2",), "cifar10"),
    "fashion-mnist-simulated": EventSet("what bntt data simulate fashion-mnist wrote", ("aedat2",), "fashion-mnist"),
    "events": EventSet("a folder a class with its recordings, or train and test with those", tuple(EVENT_FORMATS)),
}
"""What recipes know; "events" are a user's own."""


@dataclass(frozen=True)
class Framing:
    """How a set's recordings are read, and become frames."""

    binning: Binning
    format: str = ""
    """Out of ``EVENT_FORMATS``; "": the set's first."""
    sensor: tuple[int, int] | None = None
    """Rows and columns, for "npz", which does not say them."""

    def of(self, name: str) -> tuple[str, EventFormat]:
        """The format of a set, by name and as it is read.

        Raises:
            DataError: if the set has no such format, or it needs a sensor, or has one already.
        """
        known = EVENT_SETS[name].formats
        chosen = self.format or known[0]
        if (name == "events" and not self.format) or chosen not in known:
            said = "it must be named" if not self.format else f"got {self.format!r}"
            raise DataError(f"the format of {name} is one of {', '.join(known)}: {said} (--format, data.frames.format)")
        if (chosen == "npz") != (self.sensor is not None):
            need = "needs" if chosen == "npz" else "says by itself, or by its name,"
            raise DataError(f"{chosen} {need} the rows and columns of its sensor (--sensor, data.frames.sensor)")
        kind = EVENT_FORMATS[chosen]
        if self.sensor is not None:
            height, width = self.sensor
            kind = EventFormat(kind.ending, partial(read_event_archive, height=height, width=width))
        return chosen, kind

    def tag(self, name: str) -> str:
        """What sets the folder of these frames apart from others of the set.

        >>> Framing(Binning(20, 42, 42)).tag("dvs-cifar10")
        '20x42x42-time-counts-widen-aedat2'
        """
        size = "x".join(map(str, (self.binning.num_steps, self.binning.height, self.binning.width)))
        sensor = [] if self.sensor is None else ["x".join(map(str, self.sensor))]
        chosen, _ = self.of(name)
        return "-".join([size, self.binning.by, self.binning.cells, self.binning.beyond, chosen, *sensor])


def recordings_root(name: str, root: Path | None = None) -> Path | None:
    """Where a set's recordings lie: at the place given, or where ``bntt data simulate`` puts them; None: not known.

    Raises:
        DataError: if the place given is no folder with something in it.
    """
    if root is None:
        usual = simulated_root(EVENT_SETS[name].simulated)
        return usual if EVENT_SETS[name].simulated and usual.is_dir() else None
    root = root.expanduser()
    if not root.is_dir() or not any(root.iterdir()):
        state = "is empty" if root.is_dir() else "is no folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {state}: {name} is read from {EVENT_SETS[name].expects}")
    return root


def simulated_root(images: str) -> Path:
    """Where recordings simulated from a set of images lie, unless they were put elsewhere."""
    return cache_root() / "simulated" / images


def frames_folder(name: str, framing: Framing, root: Path | None = None) -> Path:
    """Where the frames are or will be; those of own recordings are named after their place too.

    Raises:
        DataError: if own recordings come without their place, or the format is none of the set's.
    """
    tag = framing.tag(name)
    if name != "events":
        return cache_root() / f"{name}-{tag}"
    if root is None:
        raise DataError("the dataset 'events' needs the folder that its recordings are in")
    place = root.expanduser().resolve()
    return cache_root() / f"events-{place.name}-{digest_of_text(str(place))[:12]}-{tag}"


def prepared_frames(name: str) -> Iterator[tuple[Path, Manifest]]:
    """Every folder of frames that was made of a set, in order of name."""
    for folder in sorted(cache_root().glob(f"{name}-*x*")):
        manifest = read_manifest(folder)
        if manifest is not None and manifest.name == name:
            yield folder, manifest


def prepare_event_set(
    name: str, framing: Framing, root: Path | None = None, progress: Progress = lambda done, total: None
) -> tuple[Path, Manifest]:
    """Read every recording of a set and write its frames, see :func:`~bntt.data.events.event_folder.prepare_events`.

    Raises:
        DataError: if the recordings are missing or damaged, or simulated where a camera's are meant, or the reverse.
    """
    folder, (_, kind) = frames_folder(name, framing, root), framing.of(name)
    found = recordings_root(name, root)
    if found is None:
        raise DataError(how_to_get(name, framing))
    simulated = None if name == "events" else bool(EVENT_SETS[name].simulated)
    return folder, prepare_events(
        found, folder, framing.binning, kind, name=name, simulated=simulated, progress=progress
    )


def open_event_set(
    name: str, framing: Framing, root: Path | None = None, progress: Progress = lambda done, total: None
) -> tuple[FrameSplits, Manifest]:
    """The frames for training: prepared earlier, or now from where the recordings lie.

    Raises:
        DataError: if they are nowhere, with the command that makes them; or if ``root`` holds other recordings than
            those that they were made of.
    """
    folder = frames_folder(name, framing, root)
    manifest = read_manifest(folder)
    if manifest is None:
        folder, manifest = prepare_event_set(name, framing, root, progress)
        return load_events(folder, manifest), manifest
    source = Path(manifest.source)
    again = f"bntt data prepare {name} --from {root or source} {flags(framing)}"
    if root is not None and root.expanduser().resolve() != source:
        raise DataError(f"{name} was prepared from {source}, not from {root}; to change that: {again}")
    if source.is_dir() and recordings_fingerprint(source, framing.of(name)[1]) != manifest.fingerprint:
        raise DataError(f"the recordings in {source} have changed since they were prepared: {again}")
    return load_events(folder, manifest), manifest


def how_to_get(name: str, framing: Framing) -> str:
    """That a set is not here, and the commands that bring it."""
    ways = [f"bntt data prepare {name} --from PATH {flags(framing)}, where PATH is {EVENT_SETS[name].expects}"]
    if images := EVENT_SETS[name].simulated:
        ways.insert(0, f"bntt data simulate {images} makes its recordings")
    return f"{name} is not here as these frames: " + "; or ".join(ways)


def flags(framing: Framing) -> str:
    """The framing as ``bntt data prepare`` takes it.

    >>> flags(Framing(Binning(20, 42, 42, by="count")))
    '--steps 20 --size 42 --by count'
    """
    binning = framing.binning
    said = [f"--steps {binning.num_steps}", f"--size {binning.height}"]
    said += [f"--by {binning.by}"] if binning.by != "time" else []
    said += [f"--cells {binning.cells}"] if binning.cells != "counts" else []
    said += [f"--beyond {binning.beyond}"] if binning.beyond != "widen" else []
    said += [f"--format {framing.format}"] if framing.format else []
    said += ["--sensor {} {}".format(*framing.sensor)] if framing.sensor else []
    return " ".join(said)
