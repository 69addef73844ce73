"""Pixels, shapes, image files, and batches of them."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from bntt.data import FrameSet, ImageSet, SampleLoader
from bntt.models import vgg6
from bntt.nn import DirectEncoder, FrameEncoder, PoissonEncoder, SpikingClassifier
from bntt.training import updates
from tests import fakes
from tests.faults.case import Case, adder
from tests.faults.user import SMALL, bntt, called, classified, images, model, prepare

CASES: list[Case] = []
case = adder(CASES)


def spoilt(value: float) -> torch.Tensor:
    x = images()
    x[2, 0, 1, 1] = value
    return x


case(25, "a NaN pixel", r"ValueError: pixels must be finite")(classified(lambda: spoilt(float("nan"))))
case(25, "an infinite pixel", r"ValueError: pixels must be finite")(classified(lambda: spoilt(float("inf"))))
case(26, "pixels from 0 to 255", r"ValueError: pixels must be finite and from 0 to 1")(
    classified(lambda: images() * 255)
)
case(26, "uint8 pixels", r"TypeError: .*divide by 255")(classified(lambda: (images() * 255).byte()))
case(27, "negative pixels to unsigned rate coding", r"ValueError: .* unsigned rate coding takes pixels from 0 to 1")(
    lambda tmp: called(lambda: PoissonEncoder(4, signed=False).spikes(images() - 0.5))
)
case(
    26, "images normalised twice", r"ValueError: pixels must be finite and from 0 to 1, .*the encoder's mean= and std="
)(classified(lambda: (images() - 0.5) / 0.25))
case(25, "a NaN in frames", r"ValueError: the encoder got frames that are not finite, first in sample 1")(
    lambda tmp: called(lambda: FrameEncoder(4)(torch.tensor([0.0, float("nan")]).view(2, 1, 1).expand(2, 4, 1)))
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
case(
    29,
    "frames of another number of steps",
    r"ValueError: frames must be \[B, T, ...\], .* with the encoder's T = 4 steps",
)(lambda tmp: called(lambda: FrameEncoder(4)(torch.zeros(2, 5, 3))))
case(
    29, "images to an encoder of frames", r"ValueError: frames must be \[B, T, ...\], .* with the encoder's T = 4 steps"
)(lambda tmp: called(lambda: FrameEncoder(4)(images())))
FRAMES = FrameSet(torch.zeros(2, 4, 3), torch.arange(2), ("a", "b"))
case(
    36,
    "crops of frames",
    r"ValueError: unknown augmentation 'crop': a FrameSet takes none",
)(lambda tmp: called(lambda: SampleLoader(FRAMES, 2, augment=["crop"])))
case(36, "mixup of frames", r"ValueError: unknown mix 'mixup': a FrameSet takes none")(
    lambda tmp: called(lambda: SampleLoader(FRAMES, 2, mix="mixup"))
)


def image_file(what: str, mode: str, kind: str, expect: str, keep: int | None = None, **options: object) -> None:
    def do(tmp: Path) -> str:
        from PIL import Image

        root = fakes.write_image_folder(tmp / "mine")
        buffer = io.BytesIO()
        Image.new(mode, (8, 8)).save(buffer, kind, **options)
        (root / "train" / "cat" / "1.png").write_bytes(buffer.getvalue()[:keep])
        return prepare("images", root)

    case(30, what, expect)(do)


image_file("a PNG with transparency (allowed, put on white)", "RGBA", "PNG", r"exit 0")
image_file("a CMYK JPEG (allowed, converted)", "CMYK", "JPEG", r"exit 0")
image_file("a 16-bit gray PNG among RGB ones", "I;16", "PNG", r"exit 3: .*data.mode .*makes them one mode")
image_file("a TIFF of floats", "F", "TIFF", r"exit 3: .*1.png has mode F: convert it")
image_file("a truncated JPEG", "RGB", "JPEG", r"exit 3: .*1.png cannot be decoded", keep=-20)
image_file("an empty image file", "RGB", "PNG", r"exit 3: .*1.png cannot be decoded", keep=0)
image_file("a gray image among RGB ones", "L", "PNG", r"exit 3: .*data.mode .--mode., rgb or gray")


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
lost(30, "a file in a class folder that is no image", r"exit 3: .*notes.txt cannot be decoded .*move it away")(
    lambda cat: (cat / "notes.txt").write_text("hello")
)
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
case(30, "an image to predict that is not there", r"exit 3: .*shoe.png does not exist$")(
    lambda tmp: bntt("predict", str(tmp / "shoe.png"))
)


@case(30, "a named pipe as image to predict", r"exit 3: .*shoe.png cannot be read: it is no file$")
def piped(tmp: Path) -> str:
    os.mkfifo(tmp / "shoe.png")
    return bntt("predict", str(tmp / "shoe.png"))


@case(30, "a decompression bomb as image to predict", r"exit 3: .*shoe.png cannot be decoded \(Image size")
def predicted_bomb(tmp: Path) -> str:
    from PIL import Image

    Image.new("1", (20_000, 20_000)).save(tmp / "shoe.png")
    return bntt("predict", str(tmp / "shoe.png"))


@case(36, "33 images in batches of 32 (sizes 17 and 16, none of one)", r"ok: \[17, 16\]")
def balanced(tmp: Path) -> str:
    data = ImageSet(torch.zeros(33, 1, 2, 2, dtype=torch.uint8), torch.zeros(33, dtype=torch.int64), ("a",))
    return called(lambda: [len(batch.labels) for batch in SampleLoader(data, 32).epoch(0)])


case(36, "a DataLoader whose last batch has one image", r"ValueError: BNTT 'fc1.norm' cannot take .*drop_last=True")(
    lambda tmp: called(lambda: list(updates(model(), [(images(n), torch.zeros(n).long()) for n in (4, 1)], epochs=1)))
)
