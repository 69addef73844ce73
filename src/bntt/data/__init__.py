"""Files to tensors: sets of images, frames and sequences in memory, batches, augmentation. No spikes are encoded here.

Only :func:`prepare` downloads, and only when it is asked to.
"""

from bntt.data.catalog import open_dataset, prepare
from bntt.data.errors import DataError
from bntt.data.events.aedat2 import read_aedat2
from bntt.data.events.aedat4 import read_aedat4
from bntt.data.events.binning import Binning, to_frames
from bntt.data.events.formats import read_event_archive, read_nmnist
from bntt.data.events.recording import Events
from bntt.data.frames import FrameSet
from bntt.data.image_set import ImageSet, Splits
from bntt.data.images.mnist import fashion_mnist_bundled
from bntt.data.images.synthetic import synthetic
from bntt.data.loader import Batch, PartLoader, SampleLoader
from bntt.data.samples import SampleSet, split_validation, stratified
from bntt.data.sequences import SequenceSet

__all__ = [
    "Batch",
    "Binning",
    "DataError",
    "Events",
    "FrameSet",
    "ImageSet",
    "PartLoader",
    "SampleLoader",
    "SampleSet",
    "SequenceSet",
    "Splits",
    "fashion_mnist_bundled",
    "open_dataset",
    "prepare",
    "read_aedat2",
    "read_aedat4",
    "read_event_archive",
    "read_nmnist",
    "split_validation",
    "stratified",
    "synthetic",
    "to_frames",
]
