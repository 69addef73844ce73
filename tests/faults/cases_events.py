"""Recordings that are damaged, that are in two parts, and that are not what their set says."""

from __future__ import annotations

from pathlib import Path

from bntt.data.events.formats import SIMULATED
from tests import fakes
from tests.faults.case import Case, adder
from tests.faults.user import bntt, prepare

CASES: list[Case] = []
case = adder(CASES)
FRAMES = ("--steps", "4", "--size", "16")


def prepared(tmp: Path, name: str = "dvs-cifar10", content: bytes | None = None) -> str:
    """Ten recordings, the first of them with another content."""
    root = fakes.write_recordings(tmp / "recordings")
    if content is not None:
        (root / "cat" / "cat_0.aedat").write_bytes(content)
    return prepare(name, root, *FRAMES)


GOOD = fakes.aedat2_bytes(0)
case(23, "a recording that ends within an event", r"exit 3: .*cat_0.aedat ends within an event: 5 of 8 bytes")(
    lambda tmp: prepared(tmp, content=GOOD[:-3])
)
case(23, "a recording without an event", r"exit 3: .*cat_0.aedat: there is no event")(
    lambda tmp: prepared(tmp, content=b"#!AER-DAT2.0\r\n")
)
case(23, "a recording that is none", r"exit 3: .*cat_0.aedat begins with 'GIF89a', an AEDAT 2.0 file with")(
    lambda tmp: prepared(tmp, content=b"GIF89a\n" + GOOD)
)
case(33, "a recording in the training and the test part", r"exit 3: .* are the same recording: remove one")(
    lambda tmp: prepare("dvs-cifar10", _twice(tmp), *FRAMES)
)
case(
    23,
    "own recordings of a format that is not named",
    r"exit 3: .*the format of events is one of aedat2, .*must be named",
)(lambda tmp: prepared(tmp, "events"))
case(
    33,
    "simulated recordings as a camera's",
    r"exit 3: .*cat_0.aedat is simulated: dvs-cifar10 are recordings of a camera",
)(lambda tmp: prepared(tmp, content=fakes.aedat2_bytes(0, f"{SIMULATED}\r\n#End Of ASCII Header\r\n")))
case(24, "a recording of one event: the frames without one are told as a share", r"exit 0")(
    lambda tmp: prepared(tmp, content=fakes.aedat2_bytes(0, count=1))
)
case(44, "a Poisson code for recordings", r'exit 2: .*encoder.name: .* needs "frames", as it has time already; got')(
    lambda tmp: _trained(tmp, "-s", "encoder.name=poisson")
)
case(44, "cropped recordings", r"exit 2: .*data: unknown augmentation 'crop': choose out of flip, shift")(
    lambda tmp: _trained(tmp, "-s", 'data.augment=["crop"]')
)
case(24, "recordings with frames larger than the sensor", r"exit 3: .*frames of 129x129 are larger than the sensor")(
    lambda tmp: _trained(tmp, "-s", "data.frames.size=129")
)


def _twice(tmp: Path) -> Path:
    root = tmp / "recordings"
    for part in ("train", "test"):
        fakes.write_recordings(root / part)
    return root


def _trained(tmp: Path, *changes: str) -> str:
    root = fakes.write_recordings(tmp / "recordings")
    small = ["-s", f"data.root={root}", "-s", "data.validation=0.25", "-s", "network.num_steps=2"]
    smaller = ["-s", "network.width=0.05", "-s", "train.epochs=1", "-s", "train.batch_size=2"]
    return bntt("train", "dvs-cifar10", *small, *smaller, *changes, "--root", str(tmp))
