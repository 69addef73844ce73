"""Archives that lead out of their folder or unpack without end; weights of others; an environment without anything."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from tests import fakes
from tests.faults.case import Case, adder
from tests.faults.user import bntt, prepare, shell
from tests.foreign import VGG6, Loop, released, saved

CASES: list[Case] = []
case = adder(CASES)
BARE = 'env -i PYTHONPATH="$PYTHONPATH" LANG=C bntt'


def bare(command: str) -> str:
    return shell(f"{BARE} {command}")


case(14, "no HOME, no PATH, no locale", r"exit 0:$")(lambda tmp: bare("show demo"))
case(14, "no HOME: where prepared data would be", r"exit 3: .*no folder for prepared data: set BNTT_DATA, or HOME$")(
    lambda tmp: bare("data where")
)


@case(
    21, "a class without an image", r"exit 3: .*cat holds no file: expected one or more in the folder of every class$"
)
def empty_class(tmp: Path) -> str:
    root = fakes.write_image_folder(tmp / "mine")
    for path in (root / "train" / "cat").iterdir():
        path.unlink()
    return prepare("images", root)


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    one = tarfile.TarInfo(name)
    one.type, one.linkname, one.size = kind, link, size
    return one


def packed(what: str, expect: str, *strangers: tarfile.TarInfo) -> None:
    """CIFAR in an archive with something else before it; nothing of it may come to be outside the cache."""

    def do(tmp: Path) -> str:
        place = fakes.write_cifar_tar(tmp / "inside" / "cifar-10-binary.tar.gz", before=strangers)
        outcome = prepare("cifar10", place, "--allow-modified-data")
        left = {path.name for path in tmp.iterdir()} - {"inside", "cache"}
        return outcome if not left and not Path("/tmp/canary").exists() else f"left {left}"

    case(32, what, expect)(do)


READ = "exit 0"
packed("an archive with a file above its folder (not wanted, not unpacked)", READ, member("../canary", size=9))
packed("an archive with a file of an absolute path", READ, member("/tmp/canary", size=9))
packed("an archive with a link to /etc", READ, member("link", tarfile.SYMTYPE, "/etc"), member("link/canary", size=9))
packed(
    "an archive with a wanted name that is a link (passed over, the file behind it is read)",
    READ,
    member("test_batch.bin", tarfile.SYMTYPE, "/etc/passwd"),
)
packed("an archive with a device of a wanted name", READ, member("test_batch.bin", tarfile.CHRTYPE))
packed(
    "an archive that unpacks without end",
    r"exit 3: .*cifar-10-binary.tar.gz unpacks to more than CIFAR has: it is not read further$",
    member("zeros", size=4 << 20),
)


def zipped(what: str, expect: str, *names: str, size: int = 0) -> None:
    def do(tmp: Path) -> str:
        folder = fakes.write_image_folder(tmp / "folder")
        place = fakes.write_one_zip(tmp / "mine.zip", folder)
        with zipfile.ZipFile(place, "a", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, bytes(size) or (folder / "train/cat/0.png").read_bytes())
        shutil.rmtree(folder)
        outcome = prepare("images", place)
        left = {path.name for path in tmp.iterdir()} - {"mine.zip", "cache"}
        return outcome if not left else f"left {left}"

    case(32, what, expect)(do)


zipped("a zip with names above its folder (read where they lie, nothing is unpacked)", READ, "../train/cat/9.png")
zipped("a zip bomb", r"exit 3: .*9.png has 67,108,865 bytes, at most 67,108,864", "train/cat/9.png", size=(1 << 26) + 1)


def imported(fault: int, what: str, expect: str, change: Callable[[dict], object], *flags: str) -> None:
    """A file of the released code, of a small network, with something changed."""

    def do(tmp: Path) -> str:
        content = released(Loop(VGG6, 3, width=0.125).randomize())
        changed = change(content) or content
        (tmp / "best.pth.tar").write_bytes(saved(changed))
        options = ("--model", "vgg6", "--data", "fashion-mnist-bundled", "-s", "network.width=0.125", *flags)
        outcome = bntt("import", str(tmp / "best.pth.tar"), *options, "--root", str(tmp / "runs"))
        return outcome if not (tmp / "canary").exists() else "the file's code ran"

    case(fault, what, expect)(do)


class Code:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/canary",)


def without(name: str) -> Callable[[dict], None]:
    def change(content: dict) -> None:
        del content["state_dict"][name]

    return change


def negative(content: dict) -> None:
    content["state_dict"]["bntt1.1.running_var"].fill_(-1)


def with_a_shift(content: dict) -> None:
    content["state_dict"]["fc2.bias"] = content["state_dict"]["bntt1.0.weight"]


def as_it_is(content: dict) -> None:
    pass


CODE = r"exit 4: .*names 'posix system', which no weights need: it is not loaded$"
imported(42, "weights of the released code", READ, as_it_is)
imported(42, "the same, of several GPUs", READ, lambda c: {f"module.{k}": v for k, v in c["state_dict"].items()})
imported(42, "the same without a layer", r"exit 4: .*conv2.weight is missing", without("conv2.weight"))
imported(42, "the same with a shift", r"exit 4: .*no bias, no β\): fc2.bias", with_a_shift)
imported(67, "the same with code in it", CODE, lambda content: content.update(accuracy=Code()))
imported(56, "the same with a variance below 0", r"exit 4: .*bntt1 holds a negative variance", negative)
FEWER, MORE = r"exit 4: .*\[3, 2\], .* is torch.float32 \[2, 2\]", r"exit 4: .*\[3, 2\], .* is torch.float32 \[4, 2\]"
imported(38, "the same into fewer steps", FEWER, as_it_is, "-s", "network.num_steps=2")
imported(39, "the same into more steps", MORE, as_it_is, "-s", "network.num_steps=4")
