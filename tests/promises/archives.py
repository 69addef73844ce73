"""Archives that lead out of their folder or unpack without end: S4."""

from __future__ import annotations

import gzip
import os
import struct
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from tests import fakes
from tests.faults.user import prepare
from tests.promises.audit import recorded
from tests.promises.promise import Measured, Promise, adder

PROMISES: list[Promise] = []
promise = adder(PROMISES)
MILLION = 1_000_000
NAMES = {
    "a name with ..": "../escaped/canary",
    "an absolute name": "OUTSIDE/canary",
    "a name of 4,000 characters": "d/" * 1900 + "canary" * 33,
    "a folder whose name begins as the root's": "../inside-evil/canary",
    "a name that is there twice": "train/cat/0.png",
    "a name that differs by case": "TRAIN/CAT/0.PNG",
    "a name with NUL": "train/cat/a\0.png",
    "a name with backslashes": "..\\..\\escaped\\canary",
    "a drive's name": "C:\\canary",
}
LINKS = {
    "a symbolic link": (tarfile.SYMTYPE, "/etc/passwd"),
    "a symbolic link upwards": (tarfile.SYMTYPE, "../../escaped"),
    "a hard link": (tarfile.LNKTYPE, "/etc/passwd"),
    "a device": (tarfile.CHRTYPE, ""),
    "a pipe": (tarfile.FIFOTYPE, ""),
}
ENDLESS = {"a zip bomb", "a gzip bomb", "a tar of 10**6 members", "a zip of 10**6 members"}


@promise(
    "S4",
    "archives cannot escape or bomb",
    ">= 14 archives (.., absolute, links, devices, long, doubled and odd names, bombs, 10**6 members): 0 bytes outside "
    "the root, no more than the known size is unpacked, refused within 2 s",
)
def archives() -> Measured:
    """``bntt data prepare`` of each, watched by an audit hook; the folder around is listed before and after."""
    outside, ends, slowest, stood = list[str](), dict[str, str](), dict[str, float](), list[str]()
    for what, make in made().items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place).resolve()
            with patch.dict(os.environ, BNTT_DATA=f"{folder}/cache"):
                name, archive = make(folder)
                before, began = set(folder.rglob("*")), time.monotonic()
                flags = ["--allow-modified-data"] * (name == "cifar10")
                with recorded([folder / "cache"]) as seen:
                    ends[what] = prepare(name, archive, *flags)
                slowest[what] = time.monotonic() - began
            new = {path for path in set(folder.rglob("*")) - before if not path.is_relative_to(folder / "cache")}
            outside += [*seen.writes, *map(str, new)]
            if what in ENDLESS and not ends[what].startswith("exit 3"):
                stood.append(what)
    odd = [f"{what}: {end[:80]}" for what, end in ends.items() if not end.startswith(("exit 0", "exit 3"))]
    last = max(slowest, key=lambda what: slowest[what])
    read = sum(end.startswith("exit 0") for end in ends.values())
    said = f"{len(ends)} archives: {len(outside)} writes outside the cache; {read} read where they lie (nothing is "
    said += f"unpacked to disk), {len(ends) - read} refused; {len(ENDLESS) - len(stood)} of {len(ENDLESS)} without end "
    said += f"refused; the slowest, {last}, in {slowest[last]:.1f} s"
    well = not (outside or odd or stood) and len(ends) >= 14 and slowest[last] <= 2
    return Measured(said + (f"; {odd[0]}" if odd else ""), well)


Make = Callable[[Path], tuple[str, Path]]
"""Writes an archive into a folder; the dataset that it is of, and its place."""


def made() -> dict[str, Make]:
    """Every archive by what is wrong with it."""
    found: dict[str, Make] = {}
    for what, name in NAMES.items():
        found[f"{what}, tar"] = _tar(_member(name))
        found[f"{what}, zip"] = _zip(name)
    for what, (kind, link) in LINKS.items():
        for name in ("data_batch_1.bin", "stranger"):
            found[f"{what} called {name}"] = _tar(_member(name, kind, link))
    found["a file behind a link"] = _tar(_member("link", tarfile.SYMTYPE, "../escaped"), _member("link/canary"))
    found["a zip bomb"] = _zip("train/cat/9.png", (1 << 26) + 1)
    found["a gzip bomb"] = _gzip_bomb
    found["a tar of 10**6 members"] = _many_in_a_tar
    found["a zip of 10**6 members"] = _many_in_a_zip
    return found


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.size = kind, link, 9 if kind == tarfile.REGTYPE else 0
    return one


def _tar(*strangers: tarfile.TarInfo) -> Make:
    """CIFAR with something else before it."""

    def make(folder: Path) -> tuple[str, Path]:
        for one in strangers:
            one.name = one.name.replace("OUTSIDE", str(folder / "escaped"))
        return "cifar10", fakes.write_cifar_tar(folder / "inside" / "cifar-10-binary.tar.gz", before=strangers)

    return make


def _zip(name: str, size: int = 0) -> Make:
    """Two classes of images, and something else."""

    def make(folder: Path) -> tuple[str, Path]:
        images = fakes.write_image_folder(folder / "inside" / "folder")
        place = fakes.write_one_zip(folder / "inside" / "mine.zip", images)
        with zipfile.ZipFile(place, "a", zipfile.ZIP_DEFLATED) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a name that is there twice
            member = zipfile.ZipInfo()
            member.filename = name.replace("OUTSIDE", str(folder / "escaped"))
            member.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(member, bytes(size) or (images / "train/cat/0.png").read_bytes())
        return "images", place

    return make


def _gzip_bomb(folder: Path) -> tuple[str, Path]:
    """A gigabyte of zeros before anything else."""
    place = folder / "inside" / "cifar-10-binary.tar.gz"
    place.parent.mkdir()
    member = tarfile.TarInfo("zeros")
    member.size = 1 << 30
    with gzip.open(place, "wb", compresslevel=1) as file:
        file.write(member.tobuf())
        for _ in range(64):
            file.write(bytes(1 << 24))
    return "cifar10", place


def _many_in_a_tar(folder: Path) -> tuple[str, Path]:
    place = folder / "inside" / "cifar-10-binary.tar.gz"
    place.parent.mkdir()
    head = _member("empty", tarfile.DIRTYPE).tobuf()
    with gzip.open(place, "wb", compresslevel=1) as file:
        for _ in range(MILLION // 1000):
            file.write(head * 1000)
    return "cifar10", place


def _many_in_a_zip(folder: Path) -> tuple[str, Path]:
    """A directory of as many members, all of which are the same few bytes."""
    place = folder / "inside" / "mine.zip"
    place.parent.mkdir()
    name, size = b"train/cat/00000000.png", 1
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 20, 0, 0, 0, 0, 0, size, size, len(name), 0) + name + b"x"
    parts = []
    for number in range(MILLION):
        own = b"train/cat/%08d.png" % number
        parts.append(
            struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, size, size, len(own), 0, 0, 0, 0, 0, 0)
            + own
        )
    directory = b"".join(parts)
    end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, MILLION, MILLION, len(directory), len(local))
    locator = struct.pack("<IIQI", 0x07064B50, 0, len(local) + len(directory), 1)
    last = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, len(directory), len(local), 0)
    place.write_bytes(local + directory + end + locator + last)
    return "images", place
