"""Files to tensors: image sets in memory, batches, augmentation. No spikes are encoded here.

Only :func:`prepare` downloads, and only when it is asked to.
"""

from bntt.data.bundled import fashion_mnist_bundled
from bntt.data.catalog import open_dataset, prepare
from bntt.data.errors import DataError
from bntt.data.images import ImageSet, Splits
from bntt.data.loader import Batch, ImageLoader
from bntt.data.synthetic import synthetic

__all__ = [
    "Batch",
    "DataError",
    "ImageLoader",
    "ImageSet",
    "Splits",
    "fashion_mnist_bundled",
    "open_dataset",
    "prepare",
    "synthetic",
]
