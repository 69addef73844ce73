"""Images, archives of them, and the datasets that are read file by file."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from bntt.data import images as cifar
from bntt.data.images import read_idx, read_images, read_tiny_imagenet
from bntt.data.prepared import load_prepared, read_manifest, write_prepared
from bntt.data.samples import ImageSet, Splits
from bntt.io.errors import DataError
from bntt.io.files import digest
from bntt.io.pictures import read_picture
from tests import fakes
from tests.hostile.format import Format, as_file

KINDS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
CHUNKS = (
    b"IHDR",
    b"PLTE",
    b"tRNS",
    b"iCCP",
    b"zTXt",
    b"tEXt",
    b"acTL",
    b"eXIf",
    b"\xff\xc0",
    b"\xff\xc2",
    b"\xff\xe1Exif",
    b"II*\0",
)


def of_kind(kind: str) -> Format:
    def make(folder: Path) -> list[bytes]:
        found = []
        for seed, (mode, size) in enumerate((("L", (9, 7)), ("RGB", (8, 8)), ("P", (16, 5)), ("1", (12, 3)))):
            if mode in ("P", "1") and kind in ("JPEG", "WEBP", "PPM"):
                continue
            image = Image.fromarray(fakes.pixels(size[1], size[0], 3, seed=seed)).convert(mode)
            file = io.BytesIO()
            image.save(file, kind)
            found.append(file.getvalue())
        return found

    return Format(make, as_file("one.img"), lambda path: read_picture(path, (3, 8, 8)), (DataError,), CHUNKS)


def idx(packed: bool) -> Format:
    def make(folder: Path) -> list[bytes]:
        name = "train-images-idx3-ubyte" + ".gz" * packed
        return [(fakes.write_mnist(folder / f"{count}", packed, train=count) / name).read_bytes() for count in (1, 2)]

    return Format(make, as_file("images.gz" if packed else "images"), partial(read_idx, dimensions=3), (DataError,))


LAYOUT = fakes.TINY["cifar10"]


def cifar_files(folder: Path) -> list[bytes]:
    return [
        (fakes.write_cifar(folder / "cifar") / name).read_bytes() for name in ("test_batch.bin", "batches.meta.txt")
    ]


def put_cifar(folder: Path, content: bytes) -> Path:
    """Of two files the one that it looks like."""
    for name, whole in fakes.cifar_files(LAYOUT, 10).items():
        as_file(name)(folder / "cifar", whole)
    as_file("test_batch.bin" if len(content) > 4096 else "batches.meta.txt")(folder / "cifar", content)
    return folder / "cifar"


def read_cifar(path: Path) -> Splits:
    return cifar.read_cifar(path, LAYOUT)


def tars(folder: Path) -> list[bytes]:
    whole = fakes.write_cifar_tar(folder / "cifar.tar.gz").read_bytes()
    return [whole, *(_tar(kind) for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))]


def _tar(kind: int) -> bytes:
    """Not packed, so that changes reach the headers; with a link, a folder and a long name."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as tar:
        for number, (name, what) in enumerate(
            {"x" * 90: tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}.items()
        ):
            member = tarfile.TarInfo(name if kind == tarfile.USTAR_FORMAT else name * 3)
            member.type, member.linkname, member.mtime = what, "../../etc/passwd", number
            tar.addfile(member)
        for name, content in fakes.cifar_files(LAYOUT, 10).items():
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zips(folder: Path) -> list[bytes]:
    images = fakes.write_image_folder(folder / "images")
    whole = fakes.write_one_zip(folder / "one.zip", images).read_bytes()
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(images.rglob("*.png")):
            archive.write(path, path.relative_to(images))
    return [whole, file.getvalue()]


def annotations(folder: Path) -> list[bytes]:
    root = fakes.write_tiny_imagenet(folder / "tiny")
    return [(root / "val" / "val_annotations.txt").read_bytes(), (root / "wnids.txt").read_bytes()]


def put_annotations(folder: Path, content: bytes) -> Path:
    root = folder / "tiny"
    rows = "".join(f"val_{i}.JPEG\t{wnid}\t0\t0\t15\t15\n" for i, wnid in enumerate(("n03", "n02")))
    as_file("val/val_annotations.txt")(root, content if b".JPEG" in content else rows.encode())
    as_file("wnids.txt")(root, b"n01\nn02\nn03\n" if b".JPEG" in content else content)
    return root


def prepared(folder: Path) -> list[bytes]:
    images = torch.from_numpy(fakes.pixels(6, 3, 4, 4))
    data = ImageSet(images, torch.arange(6) % 2, ("cat", "dog"))
    write_prepared(folder / "made", {"train": data, "test": data}, name="made", source=folder, check="unchecked")
    file = folder / "made" / "manifest.json"
    values = json.loads(file.read_bytes())
    del values["checksum"]  # else it alone would refuse every change
    file.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return [(folder / "made" / "train.safetensors").read_bytes(), file.read_bytes()]


def put_prepared(folder: Path, content: bytes) -> Path:
    """The file that it looks like; of tensors the checksum is put right, for it is no secret."""
    made = folder / "made"
    if not (kept := folder / "manifest.kept").exists():
        kept.write_bytes((made / "manifest.json").read_bytes())
        (folder / "train.kept").write_bytes((made / "train.safetensors").read_bytes())
    if content[:1] == b"{":
        as_file("train.safetensors")(made, (folder / "train.kept").read_bytes())
        as_file("manifest.json")(made, content)
        return made
    as_file("train.safetensors")(made, content)
    facts = json.loads(kept.read_bytes())
    facts["sha256"]["train"] = digest(made / "train.safetensors")
    as_file("manifest.json")(made, json.dumps(facts).encode())
    return made


def read_prepared(path: Path) -> object:
    manifest = read_manifest(path)
    if manifest is None:
        return None
    splits = load_prepared(path, manifest)
    return [part.batch(torch.arange(min(len(part), 2))).sum() for part in splits]


FORMATS = {
    **{kind.lower(): of_kind(kind) for kind in KINDS},
    "idx": idx(packed=False),
    "idx-gz": idx(packed=True),
    "cifar": Format(cifar_files, put_cifar, read_cifar, (DataError,)),
    "cifar-tar": Format(
        tars, as_file("cifar.tar.gz"), read_cifar, (DataError,), (b"ustar\0", b"././@LongLink", b"00777777")
    ),
    "image-zip": Format(
        zips, as_file("images.zip"), read_images, (DataError,), (b"PK\1\2", b"PK\3\4", b"PK\5\6", b"PK\6\6")
    ),
    "tiny-imagenet": Format(
        annotations, put_annotations, read_tiny_imagenet, (DataError,), (b"\t", b"/", b"val_1.JPEG")
    ),
    "prepared": Format(
        prepared, put_prepared, read_prepared, (DataError,), (b'"dtype"', b'"U8"', b'"data_offsets"', b'"shape"')
    ),
}
