"""From an image file to a network's sample, bit-identical to the library's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bntt.deploy.description import Description, Pictures
from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array
from bntt.deploy.runtime.random import places
from bntt.io.pictures import read_picture


def sample_of(made: Description, path: Path, *, invert: bool = False) -> tuple[Array, tuple[str, ...]]:
    """Read a picture as in the network's training: return its sample, ``[1, ...]``, and what was done to it."""
    how = pictures_of(made)
    picture = read_picture(path, how.shape, fit=how.fit, invert=invert)
    pixels = picture.pixels[None].astype(np.float32) / np.float32(255)
    return arranged(pixels, how.order), picture.changes


def pictures_of(made: Description) -> Pictures:
    """Return how a picture becomes a network's sample."""
    if made.encoder.kind == "frames":
        raise DeployError(
            f"the network takes frames {list(made.input_shape)}, one in each step, and no pictures: in Python, give "
            f"them to Runtime.run, or one at a time to Runtime.step"
        )
    if made.pictures is None:
        raise DeployError(
            f"the bundle does not say how a picture becomes a sample ({made.encoder.kind} coding): write it with "
            f"bntt export, or with pictures= in bntt.deploy.export"
        )
    return made.pictures


def arranged(images: Array, order: str) -> Array:
    """Return images ``[N, C, H, W]`` in the order of :func:`bntt.data.sequences.arrange`; "": as they are.

    >>> image = np.arange(6).reshape(1, 1, 2, 3)
    >>> arranged(image, "pixels").shape, arranged(image, "rows")[0, 1].tolist()
    ((1, 6, 1), [3, 4, 5])
    """
    if not order:
        return images
    count, channels, height, width = images.shape
    if order == "rows":
        return images.swapaxes(1, 2).reshape(count, height, channels * width)
    pixels = images.reshape(count, channels, height * width).swapaxes(1, 2)
    return pixels if order == "pixels" else pixels[:, places(height * width)]
