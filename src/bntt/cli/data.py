"""``bntt data``: prepare datasets once, check them, and say what is there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from bntt.analysis.measurement import Split
from bntt.cli import console
from bntt.cli.predict import check_picture
from bntt.cli.train import Overrides
from bntt.io.errors import DataError

if TYPE_CHECKING:
    from bntt.data.events.formats import Framing
    from bntt.data.images import Fitting
    from bntt.data.prepared import Manifest


@dataclass(frozen=True)
class FrameFlags:
    """How to make frames from recordings, or images of one size."""

    steps: int = 20
    """T, the number of frames per recording."""
    size: int | None = None
    """Rows and columns of a frame, 42 by default or fewer if the sensor has fewer; or of an image."""
    by: Literal["time", "count"] = "time"
    """What frames divide equally: the recording's time, or its events."""
    cells: Literal["counts", "binary"] = "counts"
    """What a cell holds: the number of events, or 1 if there is any."""
    beyond: Literal["widen", "saturate"] = "widen"
    """How to store a count above 255: with 16 bits per cell, or as 255."""
    format: str = ""
    """Format: aedat2, aedat2-raw, aedat2-davis240, aedat2-davis346, aedat4, nmnist, npz; "events" needs it."""
    sensor: tuple[int, int] | None = None
    """Rows and columns of the sensor, only for npz."""
    mode: Literal["rgb", "gray"] | None = None
    """Colour mode of all images of a folder: rgb or gray."""
    fit: Literal["crop", "pad", "stretch"] = "crop"
    """How images reach --size: cut out the middle, add black borders, or scale each side by itself."""

    def keys(self, name: str) -> dict[str, object]:
        """Return the recipe's keys that the flags stand for."""
        from bntt.data.samples import DATASETS

        table = "data.frames" if DATASETS[name].formats else "data"
        given = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}
        return {
            "network.num_steps" if flag == "steps" else f"{table}.{flag}": [*value] if flag == "sensor" else value
            for flag, value in given.items()
        }

    def framing(self, name: str) -> Framing | Fitting | None:
        """Make the framing or fitting that the flags describe for a dataset; None: samples stay as they are."""
        from bntt.data.events.binning import Binning
        from bntt.data.events.formats import Framing
        from bntt.data.images import Fitting
        from bntt.data.samples import DATASETS

        dataset, of_folders = DATASETS[name], {"size", "mode", "fit"}
        of_recordings = {one.name for one in fields(self)} - {"mode", "fit"}
        taken = of_recordings if dataset.formats else of_folders if dataset.fits else set()
        given = {one.name for one in fields(self) if getattr(self, one.name) != one.default}
        if wrong := sorted(given - taken):
            whose = "recordings" if wrong[0] in of_recordings - of_folders else "a folder of your own images"
            raise DataError(f"{name}: --{', --'.join(wrong)} are for {whose}: leave them out")
        if not dataset.formats:
            if "fit" in given and not self.size:
                raise DataError(f"--fit {self.fit} needs --size: without it images stay as they are")
            return Fitting(self.size, self.mode, self.fit) if given else None
        size = dataset.frame_size if self.size is None else self.size
        try:
            binning = Binning(self.steps, size, size, by=self.by, cells=self.cells, beyond=self.beyond)
        except ValueError as error:
            raise DataError(f"frames of {name}: {error}") from None
        return Framing(binning, self.format, self.sensor)


def prepare(
    name: tyro.conf.Positional[str],
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None,
    download: bool = False,
    allow_modified_data: bool = False,
    frames: Annotated[FrameFlags, tyro.conf.arg(name="")] = FrameFlags(),
) -> None:
    """Read a dataset from its own files, verify published checksums, and write the tensors that training reads.

    Recordings become frames, and the images of a folder get one size: the last flags set this, as data.frames and
    network.num_steps, or data.size, data.mode and data.fit do in a recipe.

    Example: bntt data prepare cifar10 --from ~/Downloads/cifar-10-binary.tar.gz

    Args:
        name: the dataset; "images" is any folder of <split>/<class>/<image>, "events" any of <class>/<recording>.
        source: its file or folder.
        download: download it over https from its distributor, if a checksum is published.
        allow_modified_data: continue if a published checksum differs; results are then marked.
    """
    from bntt.data.catalog import prepare as prepare_dataset

    framing = frames.framing(name)
    with console.progress(f"preparing {name}") as progress:
        folder, manifest = prepare_dataset(
            name, source, framing=framing, download=download, allow_modified=allow_modified_data, progress=progress
        )
    console.line(_describe(name, folder, manifest))
    if manifest.details:
        console.line(_describe_frames(manifest.details))
    if keys := frames.keys(name):
        console.line(f"a recipe reads them by: {' '.join(f'-s {key}={value}' for key, value in keys.items())}")


def simulate(
    name: tyro.conf.Positional[str],
    source: Annotated[Path | None, tyro.conf.arg(name="from")] = None,
    to: Path | None = None,
    recordings: int = 10_000,
    seed: int = 0,
) -> None:
    """Simulate an event camera's recordings of moving training images, as AEDAT 2.0 files, one folder per class.

    A stopped run continues where it was. The header of every file says that it is simulated.

    Example: bntt data simulate fashion-mnist

    Args:
        name: the images.
        source: their folder, for "images".
        to: the folder to write; by default where the dataset <name>-simulated looks for it.
        recordings: number of recordings, stratified by class.
        seed: seed of everything random.
    """
    from bntt.data.catalog import open_dataset, simulated_root
    from bntt.data.events.camera import simulate_set
    from bntt.data.samples import DATASETS
    from bntt.runs.directory import check_folders

    if "root" in DATASETS[name].needs and to is None:
        raise DataError("simulated recordings of your own images need a folder: --to FOLDER")
    if not 0 <= seed < 1 << 63:
        raise DataError(f"--seed must be from 0 to 2**63 - 1, got {seed}")
    folder = to or simulated_root(name)
    check_folders(folder.parent)
    images = open_dataset(name, source)[0].train
    with console.progress(f"simulating {name}") as progress:
        simulate_set(images, folder, name=name, count=recordings, seed=seed, progress=progress)
    size = sum(path.stat().st_size for path in folder.rglob("*.aedat"))
    console.line(f"simulated {recordings:,} recordings of {name}, {size / 1e9:.2f} GB, in {folder}")


def verify(name: tyro.conf.Positional[str]) -> None:
    """Compare all that was prepared of a dataset with the checksums recorded when it was prepared.

    Example: bntt data verify cifar10

    Args:
        name: the dataset.
    """
    from bntt.data.catalog import prepared_folders
    from bntt.data.prepared import cache_root, verify_prepared

    found = dict(prepared_folders(name))
    if not found:
        raise DataError(f"{name} is not prepared (looked in {cache_root()}): bntt data prepare {name} --from PATH")
    for folder, manifest in found.items():
        verify_prepared(folder, manifest)
        for part in manifest.sha256:
            console.line(f"{folder}/{part}.safetensors: unchanged")


def where() -> None:
    """List the datasets that are prepared, found but not prepared, or missing.

    Example: bntt data where
    """
    from bntt.data.catalog import locate, prepared_folders
    from bntt.data.prepared import cache_root
    from bntt.data.samples import DATASETS

    cache_root()  # refuses a system without one
    for name, dataset in DATASETS.items():
        try:
            lines = [] if dataset.make else [_describe(name, *one) for one in prepared_folders(name)]
        except DataError as error:  # others may be whole
            lines = [f"{name}: {error}"]
        found = None if lines or dataset.make else locate(name)
        said = "built in" if dataset.make else f"not prepared, found in {found}" if found else "not here"
        console.line("\n".join(lines or [f"{name}: {said}"]))


def _describe(name: str, folder: Path, manifest: Manifest) -> str:
    counts = " + ".join(f"{count:,}" for count in manifest.images.values())
    shape, what = "x".join(map(str, manifest.shape)), "recordings" if manifest.details else "images"
    return f"{name}: {counts} {what} of {shape}, {len(manifest.classes)} classes, source {manifest.check}, in {folder}"


def show(
    name: tyro.conf.Positional[str],
    overrides: Overrides = (),
    index: int = 0,
    split: Split = "test",
    picture: Path | None = None,
) -> None:
    """Draw one sample as the network gets it: an image and its spikes, a recording's frames, a sequence.

    Example: bntt data show fashion-mnist --index 3

    Args:
        name: a recipe, or a dataset (shown as signed Poisson spikes of 8 steps, or as 8 frames).
        overrides: a value of the recipe to change, repeatable.
        index: the sample's place in the split, 0-based.
        split: the split.
        picture: the .png, .pdf or .svg to write; <name>-<split>-<index>.png here by default.
    """
    from bntt.charts.files import save_figure
    from bntt.runs.recipe.build import build_data
    from bntt.runs.recipe.first_sample import recipe_for, sample_figure, sample_of

    if picture:
        check_picture(picture)
    recipe = recipe_for(name, overrides)
    with console.progress(f"preparing {recipe.data.name}") as progress:
        data = build_data(recipe, progress)
    sample = sample_of(recipe, data, split, index)
    path = picture or Path(f"{Path(name).stem}-{split}-{index}.png")
    save_figure(sample_figure(sample), path)
    shape, active = "x".join(map(str, sample.drive.shape)), float((sample.drive != 0).double().mean())
    seen = f"{sample.encoder} of {shape}, {active:.1%} of it not 0"
    console.line(f"{sample.dataset}, {split} {index}: {sample.label}; {seen}")
    console.line(f"written: {path}")


def _describe_frames(found: Mapping[str, Any]) -> str:
    """Describe the content of recordings' frames, and the events that are missing."""
    bits = "16 bits" if 16 in found["bits"].values() else "8 bits"
    whole = "all counted" if found["binning"]["cells"] == "counts" else "cells hold 0 or 1"
    lost = f"{found['saturated']:,} of them not counted, as their cells were full" if found["saturated"] else whole
    said = [f"{found['events']:,} events, {lost}; cells of {bits}; {found['empty']:.1%} of the frames are empty"]
    said += [f"{found['left_out']:,} words of the files are not events of pixels"] if found["left_out"] else []
    return "; ".join(said)


COMMANDS: dict[str, Callable[..., None]] = {one.__name__: one for one in (prepare, simulate, show, verify, where)}


def commands() -> dict[str, Callable[..., None]]:
    """Return the commands, with the names of datasets as choices; not on import: ``bntt --help`` needs no torch."""
    from bntt.data.samples import DATASETS

    files = [name for name, dataset in DATASETS.items() if not dataset.make]
    images = [name for name, dataset in DATASETS.items() if dataset.kind == "images"]
    for call, names in ((prepare, files), (verify, files), (simulate, images)):
        choices = tyro.extras.literal_type_from_choices(names)
        call.__annotations__["name"] = tyro.conf.Positional[choices]  # type: ignore[valid-type, misc]
    return COMMANDS


def data() -> None:
    """Prepare, simulate, show, verify and find datasets: bntt data prepare|simulate|show|verify|where.

    Example: bntt data where
    """
