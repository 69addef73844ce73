"""Images as they come: many sizes and modes, made alike when they are prepared, and by ``bntt predict`` as well."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from bntt.cli.main import main
from bntt.data.images import Fitting, read_images
from bntt.io.errors import DataError
from bntt.io.pictures import ORIENTATION, read_picture
from bntt.runs.recipe.build import build_data
from bntt.runs.recipe.file import RecipeError, load_recipe
from tests.rows import each_row

MIXED = [("RGB", 40, 20, 1), ("L", 12, 31, 1), ("RGB", 16, 16, 1), ("P", 24, 9, 1), ("RGB", 30, 18, 6), ("L", 3, 50, 8)]


@pytest.fixture
def photographs(tmp_path):
    """Train and test with two classes of six pictures, each of another size, mode or EXIF orientation."""
    draw, root = np.random.default_rng(0), tmp_path / "photos"
    for folder in (root / part / label for part in ("train", "test") for label in ("cat", "dog")):
        folder.mkdir(parents=True)
        for number, (mode, width, height, orientation) in enumerate(MIXED):
            image = Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8)).convert(mode)
            exif = image.getexif()
            exif[ORIENTATION] = orientation
            image.save(folder / f"{number}.png", exif=exif)
    return root


@each_row(("size", "mode", "fit"), [(16, "rgb", "crop"), (28, "gray", "pad"), (9, "gray", "stretch")])
def test_predict_sees_a_picture_as_training_did_to_the_bit(size, mode, fit, photographs):
    prepared = read_images(photographs, fitting=Fitting(size, mode, fit)).train
    assert prepared.images.shape == (12, 3 if mode == "rgb" else 1, size, size)
    for row, path in enumerate(sorted((photographs / "train").rglob("*.png"))):
        asked, _ = read_picture(path, prepared.images.shape[1:], fit=fit)
        assert np.array_equal(asked, prepared.images[row]), path


def test_crop_keeps_the_middle_and_pad_the_whole():
    pixels = torch.zeros(1, 4, 12, dtype=torch.uint8)
    pixels[:, :, 4:8] = 200
    assert Fitting(4, fit="crop").applied(pixels)[0].eq(200).all()
    padded, changes = Fitting(12, fit="pad").applied(pixels)
    assert torch.equal(padded[:, 4:8], pixels)
    assert padded.sum() == pixels.sum()
    assert changes == ("resized and padded from 12x4 to 12x12",)
    assert Fitting(6, fit="pad").applied(torch.ones(3, 900, 2, dtype=torch.uint8))[0].shape == (3, 6, 6)


def test_what_cannot_be_fitted_names_the_keys(photographs):
    with pytest.raises(DataError, match=r"data\.mode .*data\.size"):
        read_images(photographs)
    for size in (-3, 0, 4097):
        with pytest.raises(DataError, match="size"):
            Fitting(size)
    for key in ("data.size=16", "data.mode=gray", "data.fit=pad"):
        with pytest.raises(RecipeError, match="fashion-mnist-bundled"):
            build_data(load_recipe("demo", [key]))
    with pytest.raises(RecipeError, match=r"data\.fit: .*data\.size"):
        build_data(load_recipe("demo", ["data.name=images", "data.root=x", "data.fit=pad"]))


@pytest.mark.slow
def test_a_run_on_photographs_is_asked_about_one(photographs, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    data = ["data.name=images", f"data.root={photographs}", "data.size=8", "data.mode=rgb", "data.fit=pad"]
    small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "train.batch_size=5", "data.augment=[]"]
    sets = [part for value in [*data, *small, "data.validation=0.4", "evaluate.draws=1"] for part in ("-s", value)]
    assert main(["train", "demo", *sets, "--root", str(tmp_path)]) == 0
    flags = ["--size", "8", "--mode", "rgb", "--fit", "pad"]
    assert main(["data", "prepare", "images", "--from", str(photographs), *flags]) == 0
    assert main(["data", "prepare", "images", "--from", str(photographs), "--size", "9", "--mode", "gray"]) == 0
    assert len(list((tmp_path / "cache").iterdir())) == 2, "the flags are not the recipe's keys"
    assert main(["data", "verify", "images"]) == 0
    assert capsys.readouterr().out.count("unchanged") == 4
    assert main(["predict", str(photographs / "test" / "cat" / "0.png"), "--run", str(tmp_path / "demo")]) == 0
    assert "resized and padded from 40x20 to 8x8" in capsys.readouterr().out
