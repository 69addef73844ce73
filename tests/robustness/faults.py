"""What a user does wrong at the command line: a table of what is done, the exit code and the part that is named."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from bntt.io.checkpoint import read_checkpoint, write_checkpoint
from tests import fakes
from tests.robustness.user import Came, Do, Fault, bntt, command, prepare, shell, trained, training

Change = Callable[[Path], object]
BARE = 'env -i PYTHONPATH="$PYTHONPATH" LANG=C bntt'
REFUSED = [
    (1, "network.norm", ("bnnt",)),
    (2, "network.num_steps", ("0", "-1", "2.5", '"25 "', "1000000000")),
    (2, "compute.recompute", ("0",)),
    (4, "train.lr", ("-0.1", "nan", "inf")),
    (5, "train.batch_size", ("0", "-1")),
    (6, "train.epochs", ("0",)),
    (7, "network.leak", ("1.5", "-0.1", "nan")),
    (7, "network.threshold", ("0.0",)),
    (11, "seed", ("-1", "9223372036854775808", "abc")),
    (34, "data.validation", ("0.0", "1.0")),
    (65, "train.label_smoothing", ("1.5",)),
]
"""Values of recipes that name their key."""
NAMES = ("../x", "/etc/x", "a\0b", "x" * 300, " ")


def recipe(make: Change) -> Do:
    def do(tmp: Path) -> Came:
        make(tmp / "mine.toml")
        return bntt("show", tmp / "mine.toml")

    return do


def holding(content: bytes) -> Do:
    return recipe(lambda path: path.write_bytes(content))


COMMANDS = [
    Fault(1, "a misspelt key", training("network.num_step=4"), 2, "network.num_step"),
    Fault(1, "a misspelt option", command("train demo --nmae x"), 2, "--nmae"),
    Fault(1, "a misspelt verb", command("tarin demo"), 2, "tarin"),
    *(
        Fault(number, f"{key} = {value}", training(f"{key}={value}"), 2, f"{key}: ")
        for number, key, values in REFUSED
        for value in values
    ),
    Fault(3, "num_steps = 1 (allowed)", training("network.num_steps=1"), 0),
    Fault(7, "leak = 1 (allowed: an integrator)", training("network.leak=1.0"), 0),
    Fault(4, "lr = 0 (allowed)", training("train.lr=0.0"), 0),
    Fault(5, "a batch larger than the dataset (allowed)", training("train.batch_size=99999"), 0),
    Fault(11, "seed = 2**32 (allowed)", training("seed=4294967296"), 0),
    Fault(4, "lr = 1e30", training("train.lr=1e30"), 6, "conv1.norm"),
    Fault(59, "no layer ever fires: told after the epoch", training("network.threshold=1000"), 0, "warning: epoch 1"),
    Fault(8, "an empty recipe", holding(b""), 2, "data: "),
    Fault(8, "a truncated recipe", holding(b"seed = 1\ndata = { name = "), 2, "mine.toml"),
    Fault(8, "a key twice", holding(b"seed = 1\nseed = 2\n"), 2, "mine.toml"),
    Fault(8, "a recipe that is not UTF-8", holding(b"\xff\xfe"), 2, "mine.toml"),
    Fault(8, "a recipe of 2 MB", holding(b"#" * (1 << 21)), 2, "mine.toml"),
    Fault(8, "a folder as recipe", recipe(Path.mkdir), 2, "mine.toml"),
    Fault(8, "a named pipe as recipe", recipe(os.mkfifo), 2, "mine.toml"),
    Fault(9, "code in a recipe", holding(b'_target_ = "os.system"'), 2, "_target_: "),
    Fault(10, "a network that does not fit the images", training("network.name=vgg9"), 2, "image_size=28"),
    *(
        Fault(12, f"a run's name {name[:9]!r}", partial(bntt, "train", "demo", "--name", name, "--root"), 2, "--name")
        for name in NAMES
    ),
    Fault(13, "a reader that closes the pipe", shell("bntt list recipes | true"), 0),
    Fault(14, "no HOME, no PATH, no locale", shell(f"{BARE} show demo"), 0),
    Fault(14, "no HOME: where prepared data would be", shell(f"{BARE} data where"), 3, "BNTT_DATA"),
    Fault(15, "a dataset that is not there", command("train cifar10"), 3, "cifar10"),
    Fault(30, "an image to predict that is not there", command("predict TMP/shoe.png"), 3, "shoe.png"),
]


def source(name: str, make: Change, file: str = "source", *flags: str) -> Do:
    """Prepare a dataset from what is made there."""

    def do(tmp: Path) -> Came:
        make(tmp / file)
        return prepare(name, tmp / file, *flags)

    return do


FILES = [
    Fault(15, "a source that does not exist", source("cifar10", lambda path: None), 3, "source"),
    Fault(15, "an empty folder as source", source("mnist", Path.mkdir), 3, "source"),
    Fault(15, "a file where a folder is expected", source("mnist", Path.touch), 3, "source"),
    Fault(18, "the pickled version of CIFAR", source("cifar10", Path.mkdir), 3, "source"),
]


def image(mode: str, kind: str, keep: int | None = None, size: int = 8) -> Change:
    """One image of the class "cat" is another."""

    def write(cat: Path) -> None:
        from PIL import Image

        Image.new(mode, (size, size)).save(file := io.BytesIO(), kind)
        (cat / "1.png").write_bytes(file.getvalue()[:keep])

    return write


IMAGES = [
    (20, "classes that differ between train and test", lambda cat: cat.rename(cat.with_name("wolf")), 3, "wolf"),
    (21, "a class without an image", lambda cat: [path.unlink() for path in cat.iterdir()], 3, "cat"),
    (30, "a PNG with transparency (allowed, put on white)", image("RGBA", "PNG"), 0, ""),
    (30, "a CMYK JPEG (allowed, converted)", image("CMYK", "JPEG"), 0, ""),
    (30, "a 16-bit gray PNG among RGB ones", image("I;16", "PNG"), 3, "data.mode"),
    (30, "a gray image among RGB ones", image("L", "PNG"), 3, "data.mode"),
    (30, "a TIFF of floats", image("F", "TIFF"), 3, "1.png"),
    (30, "a truncated JPEG", image("RGB", "JPEG", keep=-20), 3, "1.png"),
    (30, "an empty image file", image("RGB", "PNG", keep=0), 3, "1.png"),
    (30, "a decompression bomb", image("1", "PNG", size=20_000), 3, "1.png"),
    (30, "another ending (allowed, the content decides)", lambda cat: (cat / "1.png").rename(cat / "1.jfif"), 0, ""),
    (30, "a file that is no image", lambda cat: (cat / "notes.txt").write_text("hello"), 3, "notes.txt"),
    (30, "an image beside the classes", lambda cat: (cat / "1.png").rename(cat.parent / "1.png"), 3, "1.png"),
    (
        31,
        "a link to a folder within a class (followed)",
        lambda cat: (cat / "up").symlink_to(cat.parent / "dog"),
        0,
        "",
    ),
    (31, "a link to nowhere", lambda cat: (cat / "gone.png").symlink_to("/nowhere/gone.png"), 3, "gone.png"),
    (31, "a loop of links", lambda cat: (cat / "up").symlink_to(cat.parent), 3, "cat/up"),
]


def of_images(change: Change) -> Do:
    return source("images", lambda path: change(fakes.write_image_folder(path) / "train" / "cat"))


RECIPE, ENVIRONMENT, BEST, LAST = (
    "recipe.toml",
    "environment.json",
    "checkpoints/best.safetensors",
    "checkpoints/step-*",
)


def harmed(file: str, harm: Change, verb: str = "evaluate") -> Do:
    """A file of a run that is changed, damaged or gone after the training."""

    def do(tmp: Path) -> Came:
        run = trained(tmp)
        harm(next(run.glob(file)))
        return bntt("evaluate", run) if verb == "evaluate" else bntt("train", run, "--resume")

    return do


def edit(old: str, new: str) -> Change:
    def change(path: Path) -> None:
        text, count = re.subn(old, new, path.read_text(encoding="utf-8"))
        assert count, old
        path.write_text(text, encoding="utf-8")

    return change


def linked(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def shorten(size: int) -> Change:
    return lambda path: path.write_bytes(path.read_bytes()[:size])


def flip(path: Path) -> None:
    payload = bytearray(path.read_bytes())
    payload[len(payload) // 2] ^= 1
    path.write_bytes(payload)


HARMS = [
    (40, "an edited recipe, resumed", RECIPE, edit("lr = 0.3", "lr = 0.1"), "resume", 4, "train.lr"),
    (40, "an edited recipe, measured", RECIPE, edit("leak = 0.95", "leak = 0.5"), "evaluate", 4, "network.leak"),
    (40, "more draws, measured (allowed)", RECIPE, edit("draws = 1", "draws = 2"), "evaluate", 0, ""),
    (38, "a recipe of fewer steps", RECIPE, edit("num_steps = 2", "num_steps = 1"), "evaluate", 4, "network.num_steps"),
    (39, "a recipe of more steps", RECIPE, edit("num_steps = 2", "num_steps = 3"), "evaluate", 4, "network.num_steps"),
    (35, "other data", ENVIRONMENT, edit('"train": "[0-9a-f]{12}', f'"train": "{"0" * 12}'), "resume", 4, "0" * 12),
    (35, "a damaged environment.json", ENVIRONMENT, shorten(1), "evaluate", 4, ENVIRONMENT),
    *((66, f"the best cut to {size} bytes", BEST, shorten(size), "evaluate", 4, BEST) for size in (0, 10, 1000, -1)),
    (66, "one flipped bit in the best", BEST, flip, "evaluate", 4, BEST),
    (66, "one flipped bit in the only one to resume", LAST, flip, "resume", 4, "step-"),
    (66, "no checkpoint to resume", LAST, Path.unlink, "resume", 4, "checkpoints"),
    (66, "no best checkpoint, resumed", BEST, Path.unlink, "resume", 4, "--forget-best"),
    (68, "a link to another file in its place", BEST, linked, "evaluate", 4, BEST),
    (66, "no best checkpoint, measured", BEST, Path.unlink, "evaluate", 4, BEST),
]
READOUT, GAMMA = "model.network.readout.synapse.weight", "model.network.blocks.fc1.norm.gamma"
VARIANCE = GAMMA.replace("gamma", "running_var")
CHANGES = [
    (41, "a tensor too few", lambda t: t.pop(READOUT), 4, "readout.synapse.weight"),
    (41, "a tensor too many", lambda t: t.update({"model.x": torch.zeros(1)}), 4, "x is"),
    (41, "half precision", lambda t: t.update({READOUT: t[READOUT].half()}), 4, "torch.float16"),
    (41, "a transposed weight", lambda t: t.update({READOUT: t[READOUT].T.contiguous()}), 4, "[16, 10]"),
    (41, "a NaN", lambda t: t[GAMMA].fill_(float("nan")), 4, GAMMA),
    (56, "a variance below 0", lambda t: t[VARIANCE].fill_(-1), 4, "fc1.norm.running_var"),
    (56, "a variance of NaN", lambda t: t[VARIANCE].fill_(float("nan")), 4, VARIANCE),
    (56, "a variance of 0 (allowed: a silent channel)", lambda t: t[VARIANCE][:, 0].fill_(0), 0, ""),
]


def tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Do:
    """Tensors of the best checkpoint are others, under a checksum that is right for them."""

    def rewrite(path: Path) -> None:
        values, facts = read_checkpoint(path)
        change(values)
        write_checkpoint(path, values, facts)

    return harmed(BEST, rewrite)


def measured(verb: str, *words: str, settings: tuple[str, ...] = ()) -> Do:
    return lambda tmp: bntt(verb, trained(tmp, *settings), *words)


DIRECT = ("encoder.name=direct",)
VERBS = [
    Fault(10, "several draws of direct coding", measured("evaluate", "--draws", "3", settings=DIRECT), 2, "--draws 3"),
    Fault(38, "fewer steps, on purpose", measured("evaluate", "--num-steps", "1", "--images", "50"), 0),
    Fault(39, "more steps without a word of what they have", measured("evaluate", "--num-steps", "3"), 2, "--longer"),
    *(
        Fault(94, f"--eps {eps}", measured("attack", f"--eps={eps}"), 2, f"--eps {eps}")
        for eps in ("-8/255", "nan", "0", "8")
    ),
    Fault(94, "more images than there are", measured("attack", "--images", "1001"), 2, "--images 1001"),
    Fault(94, "several draws of direct coding", measured("attack", "--eot", "4", settings=DIRECT), 2, "--eot 4"),
]
FAULTS = {
    "commands and recipes": COMMANDS,
    "datasets and images": [*FILES, *(Fault(n, what, of_images(do), *end) for n, what, do, *end in IMAGES)],
    "runs and checkpoints": [
        *(Fault(n, what, harmed(file, harm, verb), *end) for n, what, file, harm, verb, *end in HARMS),
        *(Fault(n, what, tensors(change), *end) for n, what, change, *end in CHANGES),
        *VERBS,
    ],
}
ELSEWHERE = {
    "analysis/accuracy": (93,),
    "analysis/activity": (50, 51, 52, 53),
    "analysis/attack": (94, 95),
    "analysis/exit": (54, 91, 92, 93),
    "cli": (13, 30, 69, 78, 80, 85, 86, 89),
    "data": (16, 17, 18, 19, 22, 23, 24, 32, 33, 36),
    "io": (43, 67, 70, 84, 90),
    "nn": (25, 26, 27, 28, 29, 44, 45, 46, 47, 48, 49, 50, 54, 55, 61, 62, 64),
    "ops": (63, 64),
    "robustness": (17, 32, 37, 69, 71, 72, 78, 79, 81),
    "runs": (28, 42, 44, 73, 74, 75, 76, 77, 87, 88),
    "training": (19, 42, 49, 57, 58, 60),
}
"""Numbers of the project's list that tests of their own show, by their folder."""
CANNOT = {82, 83}
"""``bntt`` starts no processes that load data; those of a ``DataLoader`` of your own are PyTorch's, errors and all."""


def main() -> int:
    """Do them all; how many do not end as they must."""
    wrong = 0
    for part, rows in FAULTS.items():
        found = [said for row in rows if (said := row.wrong())]
        print(f"{part}: {len(rows) - len(found)} of {len(rows)} end as they must", *found, sep="\n  ", flush=True)
        wrong += len(found)
    return wrong
