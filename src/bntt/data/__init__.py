"""Turn files into tensors: sets of images, frames and sequences, batches, augmentation. Only ``prepare`` downloads."""

from typing import TYPE_CHECKING

from bntt.data.catalog import open_dataset as open_dataset
from bntt.data.catalog import prepare as prepare
from bntt.data.events.binning import Binning as Binning
from bntt.data.events.binning import Events as Events
from bntt.data.events.binning import to_frames as to_frames
from bntt.data.events.camera import Camera as Camera
from bntt.data.events.camera import simulate as simulate
from bntt.data.events.camera import simulate_set as simulate_set
from bntt.data.events.formats import read_aedat2 as read_aedat2
from bntt.data.events.formats import read_aedat4 as read_aedat4
from bntt.data.events.formats import read_event_archive as read_event_archive
from bntt.data.events.formats import read_nmnist as read_nmnist
from bntt.data.images import fashion_mnist_bundled as fashion_mnist_bundled
from bntt.data.images import synthetic as synthetic
from bntt.data.loader import Batch as Batch
from bntt.data.loader import PartLoader as PartLoader
from bntt.data.loader import SampleLoader as SampleLoader
from bntt.data.samples import FrameSet as FrameSet
from bntt.data.samples import FrameSplits as FrameSplits
from bntt.data.samples import ImageSet as ImageSet
from bntt.data.samples import SampleSet as SampleSet
from bntt.data.samples import SequenceSet as SequenceSet
from bntt.data.samples import Splits as Splits
from bntt.data.samples import split_validation as split_validation
from bntt.data.samples import stratified as stratified
from bntt.doors import old_names as _old_names
from bntt.io.errors import DataError as DataError

if not TYPE_CHECKING:  # a checker would take every misspelt name for Any
    __getattr__ = _old_names("bntt.data", {"ImageLoader": "bntt.data.SampleLoader"})
