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
from functools import partial
from pathlib import Path
from unittest.mock import patch

from tests import fakes
from tests.robustness.promise import Measured, promise
from tests.robustness.user import prepare
from tests.robustness.watch import watched

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
TAR, ZIP, MILLION = "cifar-10-binary.tar.gz", "mine.zip", 1_000_000


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.size = kind, link, size
    return one


def _tar(folder: Path, *strangers: tarfile.TarInfo) -> None:
    """CIFAR with something else before it."""
    for one in strangers:
        one.name = one.name.replace("OUTSIDE", str(folder.parent / "escaped"))
    fakes.write_cifar_tar(folder / TAR, before=strangers)


def _zip(folder: Path, name: str, size: int = 0) -> None:
    """Two classes of images, and something else."""
    images = fakes.write_image_folder(folder / "images")
    member = zipfile.ZipInfo()
    member.filename, member.compress_type = name.replace("OUTSIDE", f"{folder.parent}/escaped"), zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(fakes.write_one_zip(folder / ZIP, images), "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        archive.writestr(member, bytes(size) or (images / "train/cat/0.png").read_bytes())


def _packed(folder: Path, head: tarfile.TarInfo, content: bytes, times: int) -> None:
    with gzip.open(folder / TAR, "wb", compresslevel=1) as file:
        file.write(head.tobuf())
        for _ in range(times):
            file.write(content)


def _many_in_a_zip(folder: Path) -> None:
    """A directory of a million members, all of which are the same byte."""
    name, fields = b"train/cat/%08d.png", "<IHHHHHIIIHH"
    local = struct.pack(fields, 0x04034B50, 20, 0, 0, 0, 0, 0, 1, 1, 22, 0) + name % 0 + b"x"
    head = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 20, 20, 0, 0, 0, 0, 0, 1, 1, 22, 0, 0, 0, 0, 0, 0)
    directory = b"".join(head + name % number for number in range(MILLION))
    end = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, MILLION, MILLION, len(directory), len(local))
    end += struct.pack("<IIQI", 0x07064B50, 0, len(local) + len(directory), 1)
    end += struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 0xFFFF, 0xFFFF, len(directory), len(local), 0)
    (folder / ZIP).write_bytes(local + directory + end)


ENDLESS: dict[str, Callable[[Path], None]] = {
    "a zip bomb": partial(_zip, name="train/cat/9.png", size=(1 << 26) + 1),
    "a gzip bomb": lambda folder: _packed(folder, _member("zeros", size=1 << 30), bytes(1 << 24), 64),
    "a tar of 10**6 members": lambda folder: _packed(
        folder, _member("x", tarfile.DIRTYPE), _member("x", tarfile.DIRTYPE).tobuf() * 1000, MILLION // 1000
    ),
    "a zip of 10**6 members": _many_in_a_zip,
}
ARCHIVES: dict[str, Callable[[Path], None]] = {
    **{f"{what}, tar": lambda folder, name=name: _tar(folder, _member(name, size=9)) for what, name in NAMES.items()},
    **{f"{what}, zip": partial(_zip, name=name) for what, name in NAMES.items()},
    **{
        f"{what} called {name}": lambda folder, name=name, kind=kind: _tar(folder, _member(name, *kind))
        for what, kind in LINKS.items()
        for name in ("data_batch_1.bin", "stranger")
    },
    "a file behind a link": lambda folder: _tar(
        folder, _member("link", tarfile.SYMTYPE, "../escaped"), _member("link/canary", size=9)
    ),
    **ENDLESS,
}


def prepared() -> tuple[list[str], dict[str, float]]:
    """What is wrong with ``bntt data prepare`` of each: writes outside, by an audit hook, other exit codes; seconds."""
    wrong, seconds = list[str](), dict[str, float]()
    for what, make in ARCHIVES.items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place).resolve()
            (folder / "inside").mkdir()
            make(folder / "inside")
            began = time.monotonic()
            with patch.dict(os.environ, BNTT_DATA=f"{folder}/cache"), watched(folder / "cache") as seen:
                if (folder / "inside" / ZIP).exists():
                    came = prepare("images", folder / "inside" / ZIP)
                else:
                    came = prepare("cifar10", folder / "inside" / TAR, "--allow-modified-data")
            seconds[what] = time.monotonic() - began
            wrong += [*seen.writes, *([f"{what}: {came}"] if came.code != (3 if what in ENDLESS else 0) else [])]
    return wrong, seconds


@promise("S4", "archives write nothing outside the cache; those without end are refused within 2 s")
def archives() -> Measured:
    """All of them."""
    wrong, seconds = prepared()
    last = max(seconds, key=lambda what: seconds[what])
    said = (
        f"{len(ARCHIVES)} archives, {len(ENDLESS)} of them without end: {len(wrong)} wrong; {last} took the longest, "
    )
    return Measured("; ".join([f"{said}{seconds[last]:.1f} s", *wrong[:1]]), not wrong and seconds[last] <= 2)
