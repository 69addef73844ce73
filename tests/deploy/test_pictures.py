"""Pictures without PyTorch: what the library's own reader and order give, to the bit."""

import numpy as np
import pytest
import torch
from PIL import Image

import bntt
import bntt_runtime
from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.data.samples import ORDERS, ImageSet, SequenceSet
from bntt.deploy import DeployError, Runtime, describe
from bntt.deploy.description import Pictures
from bntt.deploy.runtime import EVALUATION
from bntt.deploy.runtime.arrays import arranged
from bntt.models import pretrained
from tests import fakes


def test_pixels_and_orders_are_the_librarys_to_the_bit():
    pixels = np.arange(2 * 3 * 8 * 16, dtype=np.uint8).reshape(2, 3, 8, 16)  # every value is among them
    images, both = ImageSet(torch.from_numpy(pixels), torch.arange(2), ("cat", "dog")), torch.arange(2)
    floats = pixels.astype(np.float32) / np.float32(255)
    assert np.array_equal(arranged(floats, ""), images.batch(both).numpy())
    for order in ORDERS:
        assert np.array_equal(arranged(floats, order), SequenceSet(images, order).batch(both).numpy()), order
    assert len(set(pixels.ravel().tolist())) == 256


def test_a_picture_is_read_as_in_training(tmp_path):
    Image.fromarray(fakes.pixels(40, 30, 3)).save(tmp_path / "x.png")
    model = pretrained("fashion-mnist-rows")
    for invert in (False, True):
        runtime = Runtime(describe(model, pictures=Pictures((1, 28, 28), "pad", "rows")))
        sample, changes = runtime.read(tmp_path / "x.png", invert=invert)
        assert sample.shape == (1, 28, 28)
        assert changes[:2] == ("gray from RGB", "resized and padded from 30x40 to 28x28")
        assert (changes[2:] == ("inverted",)) is invert
        assert (sample[0, :, 0] == float(invert)).all(), "columns beside it are padded"
        assert runtime.run(sample).shape == (1, 10)
    with pytest.raises(DeployError, match="does not say how a picture becomes a sample"):
        Runtime(describe(model)).read(tmp_path / "x.png")
    with pytest.raises(DeployError, match=r"takes frames \[2, 28, 28\]"):
        Runtime(describe(pretrained("fashion-mnist-events-small"))).read(tmp_path / "x.png")


def test_both_distributions_have_one_class_and_draw_alike():
    assert bntt_runtime.Runtime is bntt.deploy.Runtime
    assert bntt_runtime.__version__ == bntt.__version__
    assert EVALUATION == FIRST_DRAW
