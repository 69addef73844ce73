"""The real images that come inside the wheel: 5,000 + 1,000 of Fashion-MNIST (Zalando SE, MIT licence)."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import torch

from bntt.data.images.image_set import ImageSet, Splits

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def fashion_mnist_bundled() -> Splits:
    """The first 500 training and 100 test images of every class of Fashion-MNIST, 28x28 gray.

    >>> data = fashion_mnist_bundled()
    >>> data.train.images.shape, data.test.counts()[:3]
    (torch.Size([5000, 1, 28, 28]), [100, 100, 100])
    """
    with files("bntt.data").joinpath("fashion_mnist.npz").open("rb") as file, np.load(file, allow_pickle=False) as npz:
        parts = []
        for part in ("train", "test"):
            images = torch.from_numpy(npz[f"{part}_images"]).unsqueeze(1)
            parts.append(ImageSet(images, torch.from_numpy(npz[f"{part}_labels"]).long(), FASHION_CLASSES))
    return Splits(*parts)
