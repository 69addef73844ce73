"""A dataset of one's own: three files, and it works wherever a dataset is named."""

import json
from pathlib import Path

import pytest

from bntt.cli import main as cli
from bntt.data import DataError
from bntt.data.samples import DATASETS

FILES = {"stripes.py", "README.md", "test_stripes.py"}


@pytest.fixture(autouse=True)
def stripes(monkeypatch, tmp_path):
    """The dataset, as its module registers it, and its files; nobody else sees it."""
    from tests.drills.dataset import stripes as defined

    DATASETS["stripes"] = defined.STRIPES  # a module registers once, when it is imported first
    folder = tmp_path / "stripes"
    folder.mkdir()
    for part, count in (("train", 40), ("test", 10)):
        lines = []
        for number in range(count):
            label = defined.CLASSES[number % 2]
            pixels = [(row if number % 2 == 0 else column) + number // 2 for row in range(8) for column in range(8)]
            lines.append(f"{label} {''.join(str(place % 2) for place in pixels)}\n")
        (folder / f"{part}.txt").write_text("".join(lines))
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield folder
    del DATASETS["stripes"]


def test_it_takes_three_files():
    """Its code, its documentation and its tests; no file of the project names it."""
    here = Path(__file__).parent
    assert {path.name for path in here.iterdir() if path.is_file()} - {"__init__.py"} == FILES
    for room in ("src", "docs"):
        for path in (here.parents[2] / room).rglob("*.py"):
            assert '"stripes"' not in path.read_text(encoding="utf-8"), path


@pytest.mark.slow
def test_it_is_listed_prepared_verified_shown_and_trained_on(stripes, tmp_path, capsys):
    assert cli.main(["list", "datasets"]) == 0
    said = capsys.readouterr().out
    assert "stripes: images, 2 classes, 1x8x8, 40 + 10, usually flip; licence: MIT\n" in said
    assert "bntt data prepare stripes --from PATH, where PATH is a folder with train.txt and test.txt" in said
    assert cli.main(["data", "verify", "stripes"]) == 3
    assert "stripes is not prepared" in capsys.readouterr().err
    assert cli.main(["data", "prepare", "stripes", "--from", str(stripes)]) == 0
    assert "stripes: 40 + 10 images of 1x8x8, 2 classes, source unchecked" in capsys.readouterr().out
    assert cli.main(["data", "verify", "stripes"]) == 0
    assert capsys.readouterr().out.count("unchanged") == 2
    assert cli.main(["data", "where"]) == 0
    assert "stripes: 40 + 10 images" in capsys.readouterr().out
    assert cli.main(["data", "show", "stripes", "-s", "network.name=mlp", "--index", "1"]) == 0
    assert "stripes (unchecked files), test 1: down; poisson of 8x1x8x8" in capsys.readouterr().out
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'data = { name = "stripes", augment = ["flip"], validation = 0.2 }\n'
        'network = { name = "mlp", num_steps = 2 }\ntrain = { epochs = 1, batch_size = 8 }\n'
    )
    assert cli.main(["train", str(recipe), "--name", "run"]) == 0
    assert cli.main(["evaluate", "runs/run", "--draws", "1"]) == 0
    assert json.loads((tmp_path / "runs" / "run" / "evaluation.json").read_text())["images"] == 10


def test_what_is_missing_is_said_as_of_any_dataset(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "train.txt").write_text("across " + "1" * 64)
    with pytest.raises(DataError, match=r"test\.txt is missing: stripes are two text files"):
        DATASETS["stripes"].read(tmp_path / "other", lambda done, total: None)
