"""Images as sequences: one pixel per step, in reading order or in a fixed random one, or one row per step."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float, Int, Shaped
from torch import Tensor

from bntt.data.image_set import ImageSet
from bntt.io.files import digest_of_text
from bntt.ops.random import Purpose, permutation

ORDERS = ("pixels", "rows", "permuted")
"""Pixel by pixel, row after row from the top left; row by row; or pixel by pixel in the order of :func:`places`."""
SEED = 0
"""Seed of the fixed permutation for each number of pixels."""


def places(pixels: int) -> Int[Tensor, " T"]:
    """Return the fixed order of "permuted": the pixel of each step, the same for every image, run and machine."""
    return permutation(SEED, Purpose.PIXELS, 0, pixels)


def digest_of(order: str, pixels: int) -> str:
    """Return the digest of a pixel order, which a run stores with its data's."""
    listed = ",".join(map(str, places(pixels).tolist())) if order == "permuted" else ""
    return digest_of_text(f"{order}:{listed}")


def arrange(images: Shaped[Tensor, "N C H W"], order: str) -> Shaped[Tensor, "N T F"]:
    """Arrange images as sequences: ``[N, H·W, C]`` by pixels, ``[N, H, C·W]`` by rows, channel after channel."""
    if order not in ORDERS:
        raise ValueError(f"unknown order {order!r}: choose one of {', '.join(ORDERS)}")
    if order == "rows":
        return images.transpose(1, 2).flatten(2)
    told = images.flatten(2).transpose(1, 2)
    return told if order == "pixels" else told[:, places(told.shape[1]).to(told.device)]


@dataclass(frozen=True)
class SequenceSet:
    """Labelled images as sequences ``[T, F]``, for a :class:`bntt.nn.SequenceEncoder` with the same T.

    The images stay as they are; each batch is rearranged when it is loaded.

    Raises:
        ValueError: on an unknown order.

    >>> import torch
    >>> images = ImageSet(torch.zeros(3, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 1, 1]), ("cat", "dog"))
    >>> data = SequenceSet(images, "rows")
    >>> data.num_steps, data.features, data.batch(torch.tensor([2, 0])).shape
    (28, 28, torch.Size([2, 28, 28]))
    """

    images: ImageSet
    """The images."""
    order: str = "pixels"
    """Order of the pixels, one of ``ORDERS``."""

    def __post_init__(self) -> None:
        _ = self._shape

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labels(self) -> Tensor:
        """int64, ``[N]``, from 0 to len(classes) - 1."""
        return self.images.labels

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.images.classes

    @property
    def num_steps(self) -> int:
        """T, the same for every sample."""
        return self._shape[0]

    @property
    def features(self) -> int:
        """F, the same for every step."""
        return self._shape[1]

    @property
    def _shape(self) -> tuple[int, int]:
        steps, features = arrange(self.images.images[:1], self.order).shape[1:]
        return steps, features

    def counts(self) -> list[int]:
        """Count the sequences of each class."""
        return self.images.counts()

    def select(self, index: Int[Tensor, " M"]) -> SequenceSet:
        """Return the sequences at these places, in this order."""
        return SequenceSet(self.images.select(index), self.order)

    def batch(self, index: Int[Tensor, " B"]) -> Float[Tensor, "B T F"]:
        """Return the sequences at these places, float32, values in [0, 1]."""
        return arrange(self.images.images[index], self.order).float() / 255
