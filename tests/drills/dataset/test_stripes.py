"""A dataset of one's own: three files, and it works wherever a dataset is named."""

import json
from pathlib import Path

import pytest

from bntt.cli import main as cli
from bntt.data.samples import DATASETS

HERE = Path(__file__).parent


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
            pixels = [(row if number % 2 == 0 else column) + number // 2 for row in range(8) for column in range(8)]
            lines.append(f"{defined.CLASSES[number % 2]} {''.join(str(place % 2) for place in pixels)}\n")
        (folder / f"{part}.txt").write_text("".join(lines))
    monkeypatch.setenv("BNTT_DATA", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    yield folder
    del DATASETS["stripes"]


def test_it_takes_three_files():
    """Its code, its documentation and its tests; no file of the project names it."""
    files = {path.name for path in HERE.iterdir() if path.is_file()}
    assert files == {"__init__.py", "stripes.py", "README.md", "test_stripes.py"}
    for room in ("src", "docs"):
        for path in (HERE.parents[2] / room).rglob("*.py"):
            assert '"stripes"' not in path.read_text(encoding="utf-8"), path


@pytest.mark.slow
def test_it_is_listed_prepared_verified_shown_and_trained_on(stripes, tmp_path, capsys):
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'data = { name = "stripes", augment = ["flip"], validation = 0.2 }\n'
        'network = { name = "mlp", num_steps = 2 }\ntrain = { epochs = 1, batch_size = 8 }\n'
    )
    for words, code, said in (
        ("list datasets", 0, ("stripes: images, 2 classes, 1x8x8, 40 + 10", "MIT", "train.txt and test.txt")),
        ("data verify stripes", 3, ("stripes",)),
        (f"data prepare stripes --from {stripes}", 0, ("40 + 10 images of 1x8x8, 2 classes",)),
        ("data verify stripes", 0, ("train", "test")),
        ("data where", 0, ("stripes: 40 + 10 images",)),
        ("data show stripes -s network.name=mlp --index 1", 0, ("test 1: down",)),
        (f"train {recipe} --name run", 0, ()),
        ("evaluate runs/run --draws 1", 0, ()),
    ):
        assert cli.main(words.split()) == code, words
        told = capsys.readouterr()
        assert [text for text in said if text not in told.out + told.err] == [], words
    assert json.loads((tmp_path / "runs" / "run" / "evaluation.json").read_text())["images"] == 10
