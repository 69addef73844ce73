"""Every format that a user may bring: whole files of it, where a changed one is put, its reader, its error."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import io
import json
import re
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import torch
from PIL import Image

import bntt
from bntt.data.images import read_cifar, read_idx, read_images
from bntt.deploy import BundleError, DeployError, bundle, describe
from bntt.deploy.nir import graph, hdf5
from bntt.io.checkpoint import CheckpointError, read_checkpoint, read_facts, write_checkpoint
from bntt.io.errors import DataError
from bntt.io.pickled import read_pickled
from bntt.io.pictures import read_picture
from bntt.models import resnet20, vgg6
from bntt.runs.imported import import_network
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError, dump_recipe, load_recipe
from bntt.studies.study_file import load_study
from bntt.training.foreign import read_foreign
from tests import fakes
from tests.foreign import VGG6, Loop, released, saved, snntorch, spikingjelly


@dataclasses.dataclass(frozen=True)
class Format:
    """What is needed of one."""

    make: Callable[[Path], Sequence[bytes]]
    """Whole files, made once in a folder where it may also leave what they are read beside."""
    put: Callable[[Path, bytes], Path]
    """Writes a changed file; the place that is read."""
    read: Callable[[Path], object]
    error: type[Exception] | tuple[type[Exception], ...]
    words: Sequence[bytes] = ()
    """That mean something in it."""
    named: bool = True
    """Whether a message must say which file it is about."""
    needs: str = ""
    """A package that this is for, if it is not always there."""


def one_file(name: str, finish: Callable[[bytes], bytes] = lambda content: content) -> Callable[[Path, bytes], Path]:
    """Write the one file of this name."""

    def put(folder: Path, content: bytes) -> Path:
        path = folder / name
        path.unlink(missing_ok=True)  # a file written over may be waited for until it is on the disk
        path.write_bytes(finish(content))
        return path

    return put


CHUNKS = b"IHDR PLTE tRNS iCCP zTXt acTL eXIf \xff\xc0 \xff\xc2 \xff\xe1Exif II*\0".split(b" ")


def picture(kind: str) -> Format:
    def make(folder: Path) -> list[bytes]:
        found = []
        for seed, (mode, size) in enumerate((("L", (9, 7)), ("RGB", (8, 8)), ("P", (16, 5)), ("1", (12, 3)))):
            if mode in ("L", "RGB") or kind not in ("JPEG", "WEBP", "PPM"):
                image = Image.fromarray(fakes.pixels(size[1], size[0], 3, seed=seed)).convert(mode)
                image.save(file := io.BytesIO(), kind)
                found.append(file.getvalue())
        return found

    return Format(make, one_file("one.img"), partial(read_picture, shape=(3, 8, 8)), DataError, CHUNKS)


def idx(ending: str) -> Format:
    def make(folder: Path) -> list[bytes]:
        places = [fakes.write_mnist(folder / f"{count}", bool(ending), train=count) for count in (1, 2)]
        return [(place / f"train-images-idx3-ubyte{ending}").read_bytes() for place in places]

    return Format(make, one_file(f"images{ending}"), partial(read_idx, dimensions=3), DataError)


LAYOUT = fakes.TINY["cifar10"]


def tars(folder: Path) -> list[bytes]:
    kinds = (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT)
    return [fakes.write_cifar_tar(folder / "cifar.tar.gz").read_bytes(), *map(tar, kinds)]


def tar(kind: int) -> bytes:
    """Not packed, so that changes reach the headers; with a link, a folder and a long name."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, what in {"x" * 90: tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}.items():
            member = tarfile.TarInfo(name if kind == tarfile.USTAR_FORMAT else name * 3)
            member.type, member.linkname = what, "../../etc/passwd"
            archive.addfile(member)
        for name, content in fakes.cifar_files(LAYOUT, 10).items():
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


def zips(folder: Path) -> list[bytes]:
    images = fakes.write_image_folder(folder / "images")
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(images.rglob("*.png")):
            archive.write(path, path.relative_to(images))
    return [fakes.write_one_zip(folder / "one.zip", images).read_bytes(), file.getvalue()]


SUM, DOTS = re.compile(rb'("sha256": ?")([^"]{0,80})(")'), ("·" * 32).encode()


def signed(content: bytes) -> bytes:
    """With the checksum put right, as whoever makes a file can."""
    blank, count = SUM.subn(lambda found: found[1] + DOTS + found[3], content, count=1)
    return blank.replace(DOTS, hashlib.sha256(blank).hexdigest().encode(), 1) if count else content


def checkpoints(folder: Path) -> list[bytes]:
    values = {"model.gamma": torch.ones(2, 3), "model.count": torch.arange(4), "optimizer.0": torch.zeros(0, 2)}
    write_checkpoint(folder / "x", values, {"epoch": 3, "recipe": "seed = 0", "lines": [{"a": 1.5}]})
    write_checkpoint(folder / "y", {"w": torch.arange(5) / 7}, {})
    return [(folder / name).read_bytes() for name in ("x", "y")]


def read_both(path: Path) -> None:
    facts = read_facts(path)
    assert facts == read_checkpoint(path).facts or facts != facts


ENCODER = bntt.PoissonEncoder(2, mean=[0.5], std=[0.25])


def bundles(folder: Path) -> list[bytes]:
    network = resnet20(num_steps=2, width=1 / 16, in_channels=1)
    made = describe(bntt.SpikingClassifier(ENCODER, network), input_shape=(1, 4, 4), run={"recipe": "seed = 0"})
    for weights in bundle.WEIGHT_TYPES:
        bundle.write(made, folder / weights, weights)
    return [(folder / weights).read_bytes() for weights in bundle.WEIGHT_TYPES]


def pickles(folder: Path) -> list[bytes]:
    loop = Loop((1, (2, "P"), 4, 3), 2, classes=2).randomize()
    contents = (released(loop), spikingjelly(loop), snntorch(loop), dict(loop.state_dict(keep_vars=True)))
    return [saved(content, old=old) for content in contents for old in (False, True)]


def read_weights(path: Path) -> None:
    read_foreign(read_pickled(path))


def read_recipe(path: Path) -> None:
    dump_recipe(load_recipe(path))


def graphs(folder: Path) -> list[bytes]:
    """What the process that reads NIR's files tells of them."""
    made = []
    for reset in ("soft", "hard"):
        network = vgg6(num_steps=2, width=1 / 16, image_size=8, reset=reset)
        graph.write(describe(bntt.SpikingClassifier(ENCODER, network), input_shape=(1, 8, 8)), folder / "x")
        made.append(hdf5.packed((folder / "x").read_bytes()))
    return made


def read_told(path: Path) -> None:
    try:
        told = graph.unpacked(path.read_bytes())
    except Exception as error:  # the process writes none that are broken
        raise DeployError(f"{error!s:.200}") from None
    graph.described(told)


def run_of(folder: Path) -> Path:
    """A small run, without a training."""
    place = folder / "kept" / "run"
    if not place.exists():
        (folder / "w.pt").write_bytes(saved(released(Loop(VGG6, 2, width=0.125).randomize())))
        wanted = {"model": "vgg6", "data": "fashion-mnist-bundled", "overrides": ("network.width=0.125",)}
        import_network(folder / "w.pt", "run", folder / "kept", **wanted)
        file = place / "environment.json"
        same = {"started": "", "commit": "", "command": [], "processor": ""}  # the same file whenever it is made
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **same}, indent=1))
    return place


def of_run(name: str, words: Sequence[bytes], finish: Callable[[bytes], bytes] = lambda content: content) -> Format:
    """A run of which one file is changed."""

    def put(folder: Path, content: bytes) -> Path:
        if not (folder / "run").exists():
            shutil.copytree(folder / "kept" / "run", folder / "run")
        one_file(name, finish)(folder / "run", content)
        return folder / "run"

    errors = (CheckpointError, RecipeError, DataError)
    return Format(lambda folder: [(run_of(folder) / name).read_bytes()], put, load_run, errors, words, named=False)


def toml(folder: str, names: Sequence[str], read: Callable[[Path], object]) -> Format:
    whole = [files("bntt").joinpath(f"{folder}/{name}.toml").read_bytes() for name in names]
    return Format(lambda _: whole, one_file("mine.toml"), read, RecipeError, TOML, named=False)


TOML = b'[ [[ ]] = { """ network. 1979-05-27 inf true \n'.split(b" ")
KEYS = b'"__metadata__" "format" "sha256" "facts" "dtype" "F32" "data_offsets" "shape" \\u0000'.split()
PARTS = [*KEYS, *b'\\"reads\\": \\"nodes\\": \\"scale\\": \\"values\\": -1 null [] 1e400'.split()]
STEPS = b"cposix\nsystem\n R \x81 b ctorch.hub\nload\n \x93 Q tR. ctorch\nFloatStorage\n".split(b" ")
NODES = b'"type" "metadata" "edges" "\\u0000array" Conv2d Affine LIF Delay null 1e400'.split()
HEADS, ZIPS = b"ustar\0 ././@LongLink 00777777".split(b" "), b"PK\1\2 PK\3\4 PK\5\6 PK\6\6".split(b" ")
TENSORS, FILE = one_file("x.safetensors"), one_file("x")
SIGNED = one_file("x.safetensors", signed)
FORMATS = {
    **{kind.lower(): picture(kind) for kind in ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")},
    "idx": idx(""),
    "idx-gz": idx(".gz"),
    "cifar-tar": Format(tars, one_file("x.tar.gz"), partial(read_cifar, layout=LAYOUT), DataError, HEADS),
    "image-zip": Format(zips, one_file("x.zip"), read_images, DataError, ZIPS),
    "checkpoint": Format(checkpoints, TENSORS, read_both, CheckpointError, KEYS),
    "checkpoint-signed": Format(checkpoints, SIGNED, read_both, CheckpointError, KEYS),
    "bundle-signed": Format(bundles, SIGNED, bundle.read, BundleError, PARTS),
    "pickled": Format(pickles, FILE, read_weights, CheckpointError, STEPS, named=False),
    "nir-graph": Format(graphs, FILE, read_told, DeployError, NODES, named=False, needs="nir"),
    "recipe": toml("runs/recipes", ("demo", "cifar10-best", "dvs-cifar10"), read_recipe),
    "study": toml("studies/studies", ("table-5", "figure-7"), load_study),
    "run-recipe": of_run("recipe.toml", TOML),
    "run-environment": of_run("environment.json", (b'"shape"', b'"classes"', b"[", b"null")),
    "run-weights": of_run("checkpoints/best.safetensors", KEYS, signed),
}


def here() -> list[str]:
    """Those whose package is installed."""
    return [name for name, kind in FORMATS.items() if not kind.needs or importlib.util.find_spec(kind.needs)]
