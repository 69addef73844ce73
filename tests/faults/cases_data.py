"""Datasets that are missing, cut short, changed or mislabelled."""

from __future__ import annotations

import dataclasses
import gzip
import os
from pathlib import Path
from unittest import mock

import torch

from bntt.data.catalog import prepared_folder
from bntt.data.images import CIFAR10
from bntt.data.prepared import read_manifest
from bntt.data.samples import DATASETS, Published
from bntt.io.files import digest
from bntt.training import updates
from tests import fakes
from tests.faults.case import Case, adder
from tests.faults.user import Once, bntt, called, images, model, prepare

CASES: list[Case] = []
case = adder(CASES)


case(15, "a dataset that is not there", r"exit 3: .*bntt data prepare cifar10 --from")(
    lambda tmp: bntt("train", "cifar10")
)
case(15, "a source that does not exist", r"exit 3: .*does not exist")(lambda tmp: prepare("cifar10", tmp / "none"))


@case(15, "an empty folder as source", r"exit 3: .*is empty")
def empty_folder(tmp: Path) -> str:
    (tmp / "empty").mkdir()
    return prepare("mnist", tmp / "empty")


@case(15, "a file where a folder is expected", r"exit 3: .*holds neither|exit 3: .*not a")
def file_as_folder(tmp: Path) -> str:
    (tmp / "file").write_bytes(b"x")
    return prepare("mnist", tmp / "file")


for label, keep in (("1 byte short", -1), ("half", 50_000), ("0 bytes", 0)):

    def truncated(tmp: Path, keep: int = keep) -> str:
        folder = fakes.write_cifar(tmp / "bin")
        path = folder / "test_batch.bin"
        path.write_bytes(path.read_bytes()[: keep if keep < 0 else keep // 5])
        return prepare("cifar10", folder)

    case(16, f"a CIFAR file {label}", r"exit 3: .*the file is not whole")(truncated)


def flipped_archive(tmp: Path, *flags: str) -> str:
    """An archive in which one pixel is another, where the one without is the published one, and is taken."""
    place = fakes.write_cifar_tar(tmp / "cifar-10-binary.tar.gz")
    whole, known = place.read_bytes(), DATASETS["cifar10"]
    tar = bytearray(gzip.decompress(whole))
    tar[tar.index(fakes.cifar_files(CIFAR10, 10)[CIFAR10.train[0]]) + 100] ^= 1
    one = Published(known.published[0].url, digest(place, "md5"), len(whole))
    with mock.patch.dict(DATASETS, {"cifar10": dataclasses.replace(known, published=(one,))}):
        place.write_bytes(gzip.compress(bytes(tar)))
        outcome = checked(prepare("cifar10", place, *flags))
        place.write_bytes(whole)
        return (
            outcome if checked(prepare("cifar10", place)) == "exit 0, published" else "the whole archive is not taken"
        )


def checked(outcome: str) -> str:
    """The outcome, and what the manifest says of the source if there is one."""
    made = read_manifest(prepared_folder("cifar10"))
    return outcome if made is None else f"{outcome}, {made.check}"


@case(17, "a CIFAR archive with one flipped byte", r"exit 3: .*its checksum differs.*--allow-modified-data")
def flipped(tmp: Path) -> str:
    return flipped_archive(tmp)


@case(
    17,
    "the unpacked files with one flipped byte: none is published for them, results say unchecked",
    r"exit 0, unchecked",
)
def flipped_unpacked(tmp: Path) -> str:
    path = fakes.write_cifar(tmp / "bin") / CIFAR10.train[0]
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    return checked(prepare("cifar10", path.parent))


@case(17, "the same, allowed (the source is then marked as modified)", r"exit 0, modified")
def flipped_allowed(tmp: Path) -> str:
    return flipped_archive(tmp, "--allow-modified-data")


@case(17, "a prepared file with one flipped byte", r"exit 3: .*has changed since it was prepared")
def flipped_later(tmp: Path) -> str:
    prepare("mnist", fakes.write_mnist(tmp / "mnist"), "--allow-modified-data")
    file = Path(os.environ["BNTT_DATA"]) / "mnist" / "train.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    return bntt("data", "verify", "mnist")


@case(18, "the pickled version of CIFAR", r"exit 3: .*expected the binary version of CIFAR")
def pickled(tmp: Path) -> str:
    folder = tmp / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(f"cposix\nsystem\n(S'touch {tmp}/canary'\ntR.".encode())
    outcome = prepare("cifar10", folder)
    return outcome if not (tmp / "canary").exists() else "the pickle ran"


@case(19, "a CIFAR record with label 255", r"exit 3: .*label 255 of image 1 is outside 0-9")
def bad_record(tmp: Path) -> str:
    folder = fakes.write_cifar(tmp / "bin")
    path = folder / CIFAR10.train[0]
    content = bytearray(path.read_bytes())
    content[3073] = 255
    path.write_bytes(content)
    return prepare("cifar10", folder)


for label in (-100, -1, 3):
    case(19, f"label {label} in one's own loader", r"ValueError: labels must be .* integers from 0 to 2")(
        lambda tmp, label=label: called(
            lambda: list(updates(model(), [(images(), torch.tensor([0, 1, 2, label]))], epochs=1))
        )
    )
for what, given in (
    ("labels that are not integers", torch.zeros(4)),
    ("labels that are words", ("cat", "dog", "cat", "dog")),
    ("a label short", [0, 1, 2]),
):
    case(19, what, r"ValueError: labels must be 4 integers, or shares of classes \[4, K\], got")(
        lambda tmp, given=given: called(lambda: list(updates(model(), Once(images(), given), epochs=1)))
    )
case(
    19, "soft labels that do not sum to 1", r"ValueError: soft labels are shares of the classes, .*1.5 in sum in row 0"
)(lambda tmp: called(lambda: list(updates(model(), Once(images(), torch.full((4, 3), 0.5)), epochs=1))))
case(19, "a loader that yields images without labels", r"ValueError: a loader must yield pairs \(inputs, labels\)")(
    lambda tmp: called(lambda: list(updates(model(), Once(images()), epochs=1)))
)
case(19, "int32 labels (allowed, as any integers)", r"ok: 4")(
    lambda tmp: called(lambda: next(updates(model(), Once(images(), torch.zeros(4).int()), epochs=1)).samples)
)


@case(20, "training and test folders with other classes", r"exit 3: .*classes of train and test differ: dog, wolf")
def other_classes(tmp: Path) -> str:
    root = fakes.write_image_folder(tmp / "mine")
    (root / "test" / "dog").rename(root / "test" / "wolf")
    return prepare("images", root)


def idx(what: str, content: bytes, expect: str, packed: bool = False) -> None:
    def do(tmp: Path) -> str:
        folder = fakes.write_mnist(tmp / "mnist", packed=False)
        path = folder / "train-labels-idx1-ubyte"
        path.unlink()
        (path.with_name(path.name + ".gz") if packed else path).write_bytes(content)
        return prepare("mnist", folder, "--allow-modified-data")

    case(22, what, expect)(do)


HEADER = bytes((0, 0, 8, 1))
idx(
    "an IDX file with a wrong magic number",
    b"\0\0\x0d\x01\0\0\0\x02ab",
    r"exit 3: .*begins with 00000801, got 00000d01",
)
idx("an IDX file that announces 2**32 - 1 values", HEADER + b"\xff" * 4, r"exit 3: .*the file holds 1 to 8")
idx("an IDX file with more values than it announces", HEADER + b"\0\0\0\x02abc", r"exit 3: .*announces 2 values")
idx("a gzip bomb", gzip.compress(HEADER + b"\0\0\0\x14" + bytes(1 << 24)), r"exit 3: .*holds more", packed=True)
idx("half a gzip file", gzip.compress(HEADER + b"\0\0\0\x02ab")[:-5], r"exit 3: .*not a whole gzip file", packed=True)
