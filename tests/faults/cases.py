"""What a user does wrong, and what comes of it: one function a fault. The table in docs/faults.md is made from these.

    python -m tests.faults.cases

Numbers are those of the project's list of faults; rows with the same number are its variants.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import io
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from bntt.cli import main as cli
from bntt.data import DataError, ImageLoader, ImageSet, catalog
from bntt.data.cifar import CIFAR10, read_cifar10
from bntt.models import mlp, vgg6
from bntt.nn import BNTT, DirectEncoder, PoissonEncoder, SpikingClassifier
from bntt.training import fit
from bntt.training.checkpoint import read_notes
from tests import fakes

TABLE = Path(__file__).parents[2] / "docs" / "faults.md"
SMALL = ["-s", "network.width=0.125", "-s", "network.num_steps=2", "-s", "train.epochs=1", "-s", "train.batch_size=900"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One row of the table."""

    fault: int
    what: str
    do: Callable[[Path], str]
    expect: str
    """A pattern of the outcome."""


CASES: list[Case] = []


def case(fault: int, what: str, expect: str) -> Callable[[Callable[[Path], str]], Callable[[Path], str]]:
    def add(do: Callable[[Path], str]) -> Callable[[Path], str]:
        CASES.append(Case(fault, what, do, expect))
        return do

    return add


def bntt(*args: str) -> str:
    """Run a command line in this process: ``exit N: what stderr says``, or the last line where all went well."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = cli.main(list(args))
        except SystemExit as stop:
            code = stop.code
    text = re.sub(r"[│╭╮╰╯─]+|-{3,}", " ", err.getvalue())
    return f"exit {code}: {' '.join(text.split())}" if code else "exit 0"


def called(do: Callable[[], object]) -> str:
    """Call Python: ``Error: message``, or what came back."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value = do()
        except Exception as error:
            return f"{type(error).__name__}: {' '.join(str(error).split())}"
    said = "".join(f" ({w.category.__name__}: {w.message})" for w in caught)
    return f"ok: {value}{said}"


def model(**options) -> SpikingClassifier:
    net = mlp(in_features=16, hidden=(8,), num_classes=3, num_steps=4, **options)
    return SpikingClassifier(PoissonEncoder(4), net, mean=[0.5], std=[0.25])


class Once:
    """A loader of one batch."""

    def __init__(self, *batch: object) -> None:
        self.batch = batch if len(batch) > 1 else batch[0]

    def __iter__(self) -> Iterator[object]:
        yield self.batch


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))


# ------------------------------------------------------------------------------------------ command line and recipes
def override(fault: int, what: str, setting: str, expect: str) -> None:
    case(fault, what, expect)(lambda tmp: bntt("train", "demo", *SMALL, "-s", setting, "--root", str(tmp)))


override(1, "a misspelt key", "network.num_step=4", r"exit 2: .*unknown key; did you mean 'num_steps'")
case(1, "a misspelt option", r"exit 2: .*--nmae")(lambda tmp: bntt("train", "demo", "--nmae", "x"))
case(1, "a misspelt verb", r"exit 2: .*unknown verb 'tarin'; did you mean 'train'")(lambda tmp: bntt("tarin", "demo"))
for value in ("0", "-1", "2.5", '"25 "', "1000000000"):
    override(2, f"num_steps = {value}", f"network.num_steps={value}", r"exit 2: .*network.num_steps: ")
override(3, "num_steps = 1", "network.num_steps=1", r"exit 0")
case(3, "num_steps = 1000 (γ for every step)", r"ok: \[1000, 16\]")(
    lambda tmp: called(lambda: list(mlp(num_steps=1000, width=1 / 16).blocks["fc1"].norm.gamma.shape))
)
override(4, "lr = -0.1", "train.lr=-0.1", r"exit 2: .*train.lr: ")
override(4, "lr = nan", "train.lr=nan", r"exit 2: .*train.lr: ")
override(4, "lr = inf", "train.lr=inf", r"exit 2: .*train.lr: ")
override(4, "lr = 1e30", "train.lr=1e30", r"exit 6: .*first seen in")
override(4, "lr = 0 (allowed, with a warning on the screen)", "train.lr=0.0", r"exit 0")
override(5, "batch_size = 0", "train.batch_size=0", r"exit 2: .*train.batch_size: ")
override(5, "batch_size = -1", "train.batch_size=-1", r"exit 2: .*train.batch_size: ")
override(5, "batch_size larger than the dataset (one batch)", "train.batch_size=99999", r"exit 0")
override(6, "epochs = 0", "train.epochs=0", r"exit 2: .*train.epochs: ")
override(7, "leak = 1.5", "network.leak=1.5", r"exit 2: .*network.leak: ")
override(7, "leak = -0.1", "network.leak=-0.1", r"exit 2: .*network.leak: ")
override(7, "leak = nan", "network.leak=nan", r"exit 2: .*network.leak: ")
override(7, "threshold = 0", "network.threshold=0.0", r"exit 2: .*network.threshold: ")
override(7, "leak = 1 (an integrator)", "network.leak=1.0", r"exit 0")


def recipe_file(fault: int, what: str, content: bytes | None, expect: str, make=None) -> None:
    def do(tmp: Path) -> str:
        path = tmp / "mine.toml"
        make(path) if make else path.write_bytes(content or b"")
        return bntt("show", str(path))

    case(fault, what, expect)(do)


recipe_file(8, "an empty recipe", b"", r"exit 2: .*data: Field required")
recipe_file(8, "a truncated recipe", b"seed = 1\ndata = { name = ", r"exit 2: .*is not TOML")
recipe_file(8, "a key twice", b"seed = 1\nseed = 2\n", r"exit 2: .*is not TOML")
recipe_file(8, "a recipe that is not UTF-8", b"\xff\xfe", r"exit 2: .*is not UTF-8")
recipe_file(8, "a recipe of 2 MB", b"#" * (1 << 21), r"exit 2: .*at most 1048576")
recipe_file(8, "a folder as recipe", None, r"exit 2: .*no recipe", Path.mkdir)
recipe_file(8, "a named pipe as recipe", None, r"exit 2: .*no recipe", os.mkfifo)
recipe_file(9, "code in a recipe", b'_target_ = "os.system"', r"exit 2: .*unknown key")
override(10, "a network that does not fit the images", "network.name=vgg9", r"exit 2: .*image_size=28 cannot be halved")
override(11, "seed = -1", "seed=-1", r"exit 2: .*seed: ")
override(11, "seed = 2**63", "seed=9223372036854775808", r"exit 2: .*seed: ")
override(11, "seed = abc", "seed=abc", r"exit 2: .*seed: ")
override(11, "seed = 2**32 (allowed)", "seed=4294967296", r"exit 0")
for label, name in (
    ("../x", "../x"),
    ("/etc/x", "/etc/x"),
    ("a NUL byte", "a\0b"),
    ("300 characters", "x" * 300),
    ("only spaces", " "),
):
    case(12, f"a run's name of {label}", r"exit 2: .*one folder name of at most 100")(
        lambda tmp, name=name: bntt("train", "demo", "--name", name, "--root", str(tmp)).replace("x" * 300, "xxx...")
    )


@case(13, "a reader that closes the pipe", r"ok: no traceback")
def closed_pipe(tmp: Path) -> str:
    command = f"{sys.executable} -m bntt list recipes | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    return "ok: no traceback" if "Traceback" not in done.stderr else done.stderr


def shell(command: str) -> str:
    """A command line in a shell, with the code it ends with and the whole of its standard error."""
    command = command.replace("bntt", f"{sys.executable} -m bntt", 1)
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False)
    return f"exit {done.returncode}: {done.stderr.decode()}".strip()


case(13, "a closed output", r"exit 0:$")(lambda tmp: shell("bntt list recipes >&-"))
case(13, "a full output", r"exit 5: bntt: standard output cannot be written: No space left on device$")(
    lambda tmp: shell("bntt list recipes > /dev/full")
)
case(13, "an output in ASCII, for tables with γ and ± (they become question marks)", r"exit 0:$")(
    lambda tmp: shell(f"PYTHONIOENCODING=ascii bntt evaluate {trained(tmp)}")
)


def trained(tmp: Path, *settings: str) -> Path:
    """The directory of a run of one epoch."""
    flags = [part for setting in ("evaluate.draws=1", *settings) for part in ("-s", setting)]
    bntt("train", "demo", *SMALL, *flags, "--root", str(tmp))
    return tmp / "demo"


case(2, "recompute = 0", r'exit 2: .*compute.recompute: must be "auto", "never" or a whole number of steps, 1 or more')(
    lambda tmp: bntt("show", "demo", "-s", "compute.recompute=0")
)
case(1, "a misspelt norm", r"exit 2: .*network.norm: unknown name; did you mean 'bntt'\? choose one of")(
    lambda tmp: bntt("show", "demo", "-s", "network.norm=bnnt")
)
case(10, "several draws of direct coding", r"exit 2: .*--draws 3: direct coding draws nothing")(
    lambda tmp: bntt("evaluate", str(trained(tmp, "encoder.name=direct")), "--draws", "3")
)


# ------------------------------------------------------------------------------------------ data
@contextlib.contextmanager
def tiny_cifar():
    """CIFAR-10 with 60 records, so that a test can write it."""
    real = catalog.DATASETS["cifar10"]
    catalog.DATASETS["cifar10"] = dataclasses.replace(real, read=fakes.read_tiny(read_cifar10, "cifar10"))
    try:
        yield
    finally:
        catalog.DATASETS["cifar10"] = real


def prepare(name: str, source: Path, *flags: str) -> str:
    with tiny_cifar():
        return bntt("data", "prepare", name, "--from", str(source), *flags)


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


@case(17, "a CIFAR archive with one flipped byte", r"exit 3: .*its checksum differs.*--allow-modified-data")
def flipped(tmp: Path) -> str:
    return prepare("cifar10", fakes.write_cifar_tar(tmp / "cifar-10-binary.tar.gz"))


@case(17, "the unpacked files with one flipped byte: none is published for them, results say unchecked", r"exit 0")
def flipped_unpacked(tmp: Path) -> str:
    return prepare("cifar10", fakes.write_cifar(tmp / "bin"))


@case(17, "the same, allowed (the source is then marked as modified)", r"exit 0")
def flipped_allowed(tmp: Path) -> str:
    return prepare("cifar10", fakes.write_cifar_tar(tmp / "cifar-10-binary.tar.gz"), "--allow-modified-data")


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
    case(19, f"label {label} in one's own loader", r"ValueError: labels must be from 0 to 2")(
        lambda tmp, label=label: called(
            lambda: list(fit(model(), [(images(), torch.tensor([0, 1, 2, label]))], epochs=1))
        )
    )
for what, given in (
    ("labels that are not integers", torch.zeros(4)),
    ("labels that are words", ("cat", "dog", "cat", "dog")),
    ("a label short", [0, 1, 2]),
):
    case(19, what, r"ValueError: labels must be 4 integers, got")(
        lambda tmp, given=given: called(lambda: list(fit(model(), Once(images(), given), epochs=1)))
    )
case(19, "a loader that yields images without labels", r"ValueError: a loader must yield pairs \(images, labels\)")(
    lambda tmp: called(lambda: list(fit(model(), Once(images()), epochs=1)))
)
case(19, "int32 labels (allowed, as any integers)", r"ok: 4")(
    lambda tmp: called(lambda: next(fit(model(), Once(images(), torch.zeros(4).int()), epochs=1)).samples)
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
idx(
    "an IDX file that announces 2**32 - 1 values", HEADER + b"\xff" * 4, r"exit 3: .*more than 8 bytes of file can hold"
)
idx("an IDX file with more values than it announces", HEADER + b"\0\0\0\x02abc", r"exit 3: .*announces 2 values")
idx("a gzip bomb", gzip.compress(HEADER + b"\0\0\0\x14" + bytes(1 << 24)), r"exit 3: .*holds more", packed=True)
idx("half a gzip file", gzip.compress(HEADER + b"\0\0\0\x02ab")[:-5], r"exit 3: .*not a whole gzip file", packed=True)


def pixels(fault: int, what: str, make: Callable[[], torch.Tensor], expect: str) -> None:
    case(fault, what, expect)(lambda tmp: called(lambda: list(model()(make()).shape)))


def spoilt(value: float) -> torch.Tensor:
    x = images()
    x[2, 0, 1, 1] = value
    return x


pixels(25, "a NaN pixel", lambda: spoilt(float("nan")), r"ValueError: pixels must be finite")
pixels(25, "an infinite pixel", lambda: spoilt(float("inf")), r"ValueError: pixels must be finite")
pixels(26, "pixels from 0 to 255", lambda: images() * 255, r"ValueError: pixels must be finite and from 0 to 1")
pixels(26, "uint8 pixels", lambda: (images() * 255).byte(), r"TypeError: .*divide by 255")
case(27, "negative pixels to unsigned rate coding", r"ValueError: unsigned rate coding takes pixels from 0 to 1")(
    lambda tmp: called(lambda: PoissonEncoder(4, signed=False)(images() - 0.5))
)


@case(28, "a dataset of black images", r"exit 0|ok: .*it gives no spikes")
def black(tmp: Path) -> str:
    root = fakes.write_image_folder(tmp / "black", size=8, channels=1)
    for path in root.rglob("*.png"):
        path.write_bytes(fakes.image_bytes(np.zeros((8, 8), "u1")))
    prepare("images", root)
    setting = [
        "data.name=images",
        f"data.root={root}",
        "network.name=vgg6",
        "data.validation=0.25",
        "train.batch_size=4",
    ]
    flags = [part for item in setting for part in ("-s", item)]
    return called(lambda: bntt("train", "demo", *SMALL, *flags, "--root", str(tmp)))


SQUARE = partial(SpikingClassifier, DirectEncoder(4))
for label, shape in (
    ("H, W, C", (2, 8, 8, 3)),
    ("one channel", (2, 1, 8, 8)),
    ("28x28", (2, 3, 28, 28)),
    ("5-D", (1, 2, 3, 8, 8)),
):
    case(29, f"images of the wrong shape: {label}", r"ValueError: ")(
        lambda tmp, shape=shape: called(
            lambda: SQUARE(vgg6(width=0.25, num_steps=4, in_channels=3, image_size=8))(torch.zeros(shape))
        )
    )
case(29, "an image without its batch dimension", r"ValueError: images must be \[B, C, H, W\]")(
    lambda tmp: called(lambda: model()(images()[0]))
)


def image_file(what: str, mode: str, kind: str, expect: str, keep: int | None = None) -> None:
    def do(tmp: Path) -> str:
        from PIL import Image

        root = fakes.write_image_folder(tmp / "mine")
        buffer = io.BytesIO()
        Image.new(mode, (8, 8)).save(buffer, kind)
        (root / "train" / "cat" / "1.png").write_bytes(buffer.getvalue()[:keep])
        return prepare("images", root)

    case(30, what, expect)(do)


image_file("a PNG with transparency", "RGBA", "PNG", r"exit 3: .*1.png has mode RGBA")
image_file("a CMYK JPEG", "CMYK", "JPEG", r"exit 3: .*1.png has mode CMYK")
image_file("a 16-bit PNG", "I;16", "PNG", r"exit 3: .*1.png has mode I")
image_file("a truncated JPEG", "RGB", "JPEG", r"exit 3: .*1.png cannot be decoded", keep=-20)
image_file("an empty image file", "RGB", "PNG", r"exit 3: .*1.png cannot be decoded", keep=0)
image_file("a gray image among RGB ones", "L", "PNG", r"exit 3: .*all images must have one size")


@case(30, "a decompression bomb", r"exit 3: .*1.png")
def bomb(tmp: Path) -> str:
    from PIL import Image

    root = fakes.write_image_folder(tmp / "mine")
    Image.new("1", (20_000, 20_000)).save(root / "train" / "cat" / "1.png")
    return prepare("images", root)


def lost(fault: int, what: str, expect: str) -> Callable[[Callable[[Path], object]], None]:
    """A change of an image folder's class "cat" that would lose an image."""

    def add(change: Callable[[Path], object]) -> None:
        def do(tmp: Path) -> str:
            root = fakes.write_image_folder(tmp / "mine")
            change(root / "train" / "cat")
            return prepare("images", root)

        case(fault, what, expect)(do)

    return add


lost(30, "an image with another ending (allowed, its content decides)", r"exit 0")(
    lambda cat: (cat / "1.png").rename(cat / "1.jfif")
)
lost(
    30, "a file in a class folder that is no image", r"exit 3: .*notes.txt cannot be decoded .*move it out of the class"
)(lambda cat: (cat / "notes.txt").write_text("hello"))
lost(30, "an image beside the class folders", r"exit 3: .*1.png lies beside the class folders")(
    lambda cat: (cat / "1.png").rename(cat.parent / "1.png")
)
lost(31, "a link to a folder within a class (followed)", r"exit 0")(
    lambda cat: (cat / "more").symlink_to(cat.parent / "dog")
)
lost(31, "a link to nowhere", r"exit 3: .*gone.png is a link that leads nowhere")(
    lambda cat: (cat / "gone.png").symlink_to("/nowhere/gone.png")
)
lost(31, "a loop of links", r"exit 3: .*up is a link to .*a folder that it lies in: remove the link")(
    lambda cat: (cat / "up").symlink_to(cat.parent)
)


@case(36, "33 images in batches of 32 (sizes 17 and 16, none of one)", r"ok: \[17, 16\]")
def balanced(tmp: Path) -> str:
    data = ImageSet(torch.zeros(33, 1, 2, 2, dtype=torch.uint8), torch.zeros(33, dtype=torch.int64), ("a",))
    return called(lambda: [len(batch.labels) for batch in ImageLoader(data, 32).epoch(0)])


case(36, "a DataLoader whose last batch has one image", r"ValueError: BNTT 'fc1.norm' cannot take .*drop_last=True")(
    lambda tmp: called(lambda: list(fit(model(), [(images(n), torch.zeros(n).long()) for n in (4, 1)], epochs=1)))
)


# ------------------------------------------------------------------------------------------ checkpoints and calls
def checkpoint(what: str, change: Callable[[dict[str, torch.Tensor]], object], expect: str) -> None:
    def do(tmp: Path) -> str:
        bntt("train", "demo", *SMALL, "-s", "evaluate.draws=1", "--root", str(tmp))
        path = tmp / "demo" / "checkpoints" / "best.safetensors"
        tensors, notes = safetensors.torch.load_file(path), read_notes(path)
        change(tensors)
        safetensors.torch.save_file(tensors, path, metadata=notes)
        return bntt("evaluate", str(tmp / "demo"))

    case(41, what, expect)(do)


def rewritten(fault: int, what: str, verb: str, file: str, old: str, new: str, expect: str) -> None:
    """A file of a run directory that is edited after the training."""

    def do(tmp: Path) -> str:
        run = trained(tmp)
        path = run / file
        text = path.read_text(encoding="utf-8")
        assert re.search(old, text)
        path.write_text(re.sub(old, new, text), encoding="utf-8")
        return bntt("evaluate", str(run)) if verb == "evaluate" else bntt("train", str(run), "--resume")

    case(fault, what, expect)(do)


RECIPE, ENVIRONMENT = "recipe.toml", "environment.json"
rewritten(
    40,
    "an edited recipe, resumed",
    "resume",
    RECIPE,
    "lr = 0.3",
    "lr = 0.1",
    r"exit 4: .*train.lr is 0.1, it was .* 0.3",
)
rewritten(
    40, "an edited recipe, measured", "evaluate", RECIPE, "leak = 0.95", "leak = 0.5", r"exit 4: .*network.leak is 0.5"
)
rewritten(
    40, "more draws in a run's recipe, measured (allowed)", "evaluate", RECIPE, "draws = 1", "draws = 2", r"exit 0"
)
rewritten(
    35,
    "built-in data that is not what a run was trained on",
    "resume",
    ENVIRONMENT,
    '"train": "[0-9a-f]{12}',
    '"train": "000000000000',
    r"exit 4: .*was trained on other data than this",
)
rewritten(
    35,
    "a damaged environment.json",
    "evaluate",
    ENVIRONMENT,
    r"(?s)\A.*\Z",
    "[",
    r"exit 4: .*environment.json cannot be",
)

READOUT, FC = "model.network.readout.synapse.weight", "model.network.blocks.fc1.norm.gamma"
checkpoint("a checkpoint with a key too few", lambda t: t.pop(READOUT), r"exit 4: .*readout.synapse.weight is missing")
checkpoint("a key too many", lambda t: t.update({"model.x": torch.zeros(1)}), r"exit 4: .*x is not in the model")
checkpoint("half precision", lambda t: t.update({READOUT: t[READOUT].half()}), r"exit 4: .*torch.float16")
checkpoint("a transposed weight", lambda t: t.update({READOUT: t[READOUT].T.contiguous()}), r"exit 4: .*the model has")
checkpoint("a NaN", lambda t: t[FC].fill_(float("nan")), r"exit 4: .*not finite")

case(44, "a sequence of another length", r"ValueError: BNTT has 4 time steps, got a sequence of 5")(
    lambda tmp: called(lambda: BNTT(3, num_steps=4)(torch.zeros(5, 2, 3)))
)
case(44, "a step beyond the last", r"ValueError: BNTT has 4 time steps \(0-3\), got t=4: build the network with")(
    lambda tmp: called(lambda: BNTT(3, num_steps=4).step(torch.zeros(2, 3), 4))
)


@case(44, "the state of another batch", r"ValueError: .*begin every batch with state=None")
def stale_state(tmp: Path) -> str:
    net = mlp(in_features=6, hidden=(8,), num_steps=4)
    _, state = net.step(torch.ones(2, 6), 0)
    return called(lambda: net.step(torch.ones(3, 6), 1, state))


@case(45, "evaluation before any training (allowed; the mode is restored)", r"ok: \[4, 4, 3\], training True")
def untrained(tmp: Path) -> str:
    untrained = model()
    return called(lambda: f"{list(untrained.trace(images()).logits.shape)}, training {untrained.training}")


case(46, "a batch of one image in training", r"ValueError: BNTT 'fc1.norm' cannot take .*step t=0")(
    lambda tmp: called(lambda: model()(images(1)))
)
case(46, "a batch of one image in evaluation", r"ok: \[1, 3\]")(
    lambda tmp: called(lambda: list(model().eval()(images(1)).shape))
)
pixels(47, "an empty batch", lambda: images(0), r"ValueError: images must be .* B >= 1")
pixels(48, "channels_last images", lambda: images().contiguous(memory_format=torch.channels_last), r"ok: \[4, 3\]")
pixels(48, "images that require a gradient", lambda: images().requires_grad_(), r"ok: \[4, 3\]")
pixels(
    48, "float64 images to a float32 network", lambda: images().double(), r"ValueError: block 'fc1' takes torch.float32"
)
pixels(
    48,
    "half precision images to a float32 network (normalising makes them float32)",
    lambda: images().half(),
    r"ok: \[4, 3\]",
)
pixels(
    48, "images on the meta device", lambda: images().to("meta"), r"TypeError: images on the meta device have no values"
)


def outcome(row: Case) -> str:
    """Run a case in a folder and a data cache of its own; paths and lengths of this machine are taken out."""
    before = os.environ.get("BNTT_DATA")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BNTT_DATA"] = f"{folder}/cache"
        try:
            return row.do(Path(folder)).replace(folder, "...").replace(os.sep + "private", "")
        finally:
            del os.environ["BNTT_DATA"]
            if before is not None:
                os.environ["BNTT_DATA"] = before


def table(outcomes: list[str]) -> str:
    """The page docs/faults.md."""
    head = (
        "# What happens when something is wrong\n\nMade by `python -m tests.faults.cases`, held to the code by "
        "`tests/faults`. Exit codes: 0 ok, 2 usage or recipe, 3 data,\n4 checkpoint, 5 resource, 6 numbers not finite. "
        "Where Python is called instead of the command line, the error is named.\n\n"
        "| fault | what | outcome |\n|---|---|---|\n"
    )
    rows = zip(CASES, outcomes, strict=True)
    return head + "".join(f"| {row.fault} | {row.what} | {text.replace('|', '/')} |\n" for row, text in rows)


if __name__ == "__main__":
    assert issubclass(DataError, ValueError)
    TABLE.write_text(table([outcome(row) for row in CASES]), encoding="utf-8")
    sys.stdout.write(f"wrote {TABLE}\n")
