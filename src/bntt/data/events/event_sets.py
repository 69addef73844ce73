"""The sets of recordings by name, and their conversion to frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

from bntt.data.events.binning import Binning
from bntt.data.events.formats import EVENT_FORMATS, EventFormat, read_event_archive
from bntt.data.registry import DATASETS, Dataset, register
from bntt.io.errors import DataError

DVS_CIFAR10 = Dataset(
    "recordings",
    "not known to us: see figshare.com, article 4724671",
    classes=10,
    shape=(128, 128),
    samples=(9000, 1000),
    augment=("flip", "shift"),
    expects="the unpacked CIFAR10-DVS, one folder of recordings per class",
    formats=("aedat2", "aedat2-raw", "aedat4"),
)
register("dvs-cifar10", DVS_CIFAR10)
register(
    "n-mnist",
    Dataset(
        "recordings",
        "CC BY-SA 4.0",
        classes=10,
        shape=(34, 34),
        samples=(60_000, 10_000),
        expects="the unpacked N-MNIST, Train and Test with one folder per class",
        formats=("nmnist",),
    ),
)
for _images, _augment in (("cifar10", ("flip", "shift")), ("fashion-mnist", ("flip",))):
    register(
        f"{_images}-simulated",
        replace(
            DVS_CIFAR10,
            licence="that of the images",
            augment=_augment,
            expects=f"the folder that bntt data simulate {_images} wrote",
            formats=("aedat2",),
            simulated=_images,
        ),
    )
register(
    "events",
    Dataset(
        "recordings",
        "yours",
        needs=("root", "frames.format"),
        expects="a folder with one folder of recordings per class, or with train and test that have those",
        formats=tuple(EVENT_FORMATS),
    ),
)


@dataclass(frozen=True)
class Framing:
    """How a set's recordings are read and converted to frames."""

    binning: Binning
    format: str = ""
    """Format out of ``EVENT_FORMATS``; "": the set's first."""
    sensor: tuple[int, int] | None = None
    """Rows and columns of the sensor, for "npz", which does not store them."""

    def of(self, name: str) -> tuple[str, EventFormat]:
        """Return the name and the description of a set's format."""
        known = DATASETS[name].formats
        chosen = self.format or known[0]
        if ("frames.format" in DATASETS[name].needs and not self.format) or chosen not in known:
            said = "it must be named" if not self.format else f"got {self.format!r}"
            raise DataError(f"the format of {name} is one of {', '.join(known)}: {said} (--format, data.frames.format)")
        if (chosen == "npz") != (self.sensor is not None):
            need = "needs" if chosen == "npz" else "already gives, itself or by its name,"
            raise DataError(f"{chosen} {need} the rows and columns of its sensor (--sensor, data.frames.sensor)")
        kind = EVENT_FORMATS[chosen]
        if self.sensor is not None:
            height, width = self.sensor
            kind = EventFormat(kind.ending, partial(read_event_archive, height=height, width=width))
        return chosen, kind

    def tag(self, name: str) -> str:
        """Return the tag that distinguishes the folder of these frames from others of the same dataset."""
        size = "x".join(map(str, (self.binning.num_steps, self.binning.height, self.binning.width)))
        sensor = [] if self.sensor is None else ["x".join(map(str, self.sensor))]
        chosen, _ = self.of(name)
        return "-".join([size, self.binning.by, self.binning.cells, self.binning.beyond, chosen, *sensor])

    def flags(self) -> str:
        """Return the framing as flags of ``bntt data prepare``."""
        binning = self.binning
        said = [f"--steps {binning.num_steps}", f"--size {binning.height}"]
        said += [f"--by {binning.by}"] if binning.by != "time" else []
        said += [f"--cells {binning.cells}"] if binning.cells != "counts" else []
        said += [f"--beyond {binning.beyond}"] if binning.beyond != "widen" else []
        said += [f"--format {self.format}"] if self.format else []
        said += ["--sensor {} {}".format(*self.sensor)] if self.sensor else []
        return " ".join(said)
