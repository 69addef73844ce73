"""Files to tensors: image sets in memory, batches, augmentation. Nothing here downloads or encodes spikes."""

from bntt.data.bundled import fashion_mnist_bundled
from bntt.data.images import ImageSet
from bntt.data.loader import Batch, ImageLoader

__all__ = ["DATASETS", "Batch", "ImageLoader", "ImageSet", "fashion_mnist_bundled"]

DATASETS = {"fashion-mnist-bundled": fashion_mnist_bundled}
"""The datasets that recipes know by name; each gives its published splits."""
