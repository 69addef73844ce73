"""Files to tensors: sets of images and of frames in memory, batches, augmentation. No spikes are encoded here.

Only :func:`prepare` downloads, and only when it is asked to.
"""

from bntt.data.bundled import fashion_mnist_bundled
from bntt.data.catalog import open_dataset, prepare
from bntt.data.errors import DataError
from bntt.data.frames import FrameSet
from bntt.data.images import ImageSet, Splits
from bntt.data.loader import Batch, SampleLoader
from bntt.data.samples import SampleSet, split_validation
from bntt.data.subset import stratified
from bntt.data.synthetic import synthetic

__all__ = [
    "Batch",
    "DataError",
    "FrameSet",
    "ImageSet",
    "SampleLoader",
    "SampleSet",
    "Splits",
    "fashion_mnist_bundled",
    "open_dataset",
    "prepare",
    "split_validation",
    "stratified",
    "synthetic",
]
