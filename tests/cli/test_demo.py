"""The demo's path end to end, at its smallest."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bntt.cli import main as cli
from bntt.runs.recipe import file as recipes


@pytest.fixture
def short(monkeypatch):
    """The demo's recipe with one epoch of large batches and one draw."""
    real = recipes.load_recipe

    def load(source):
        found = real(source)
        train = replace(found.train, epochs=1, batch_size=500)
        return replace(found, train=train, evaluate=replace(found.evaluate, draws=1))

    monkeypatch.setattr(recipes, "load_recipe", load)


@pytest.mark.slow
def test_demo_prints_what_the_readme_says(short, tmp_path, capsys):
    assert cli.main(["demo", "--root", str(tmp_path)]) == 0
    text = capsys.readouterr().out
    for part in (
        "Fashion-MNIST (bundled part): 4500 training, 500 validation and 1000 test images; vgg6 x0.5 with bntt, T=8",
        "epoch 1/1",
        "test accuracy",
        "Accuracy over time: accuracy when stopped there, at step",
        "γ over time: mean |γ| over channels, at step",
        "Firing rate over time: spikes per neuron, at step",
        "run directory:",
    ):
        assert part in text
    files = {path.name for path in (tmp_path / "demo").iterdir()}
    files = {name for name in files if "tfevents" not in name}
    assert files == {
        "recipe.toml",
        "environment.json",
        "metrics.jsonl",
        "curves.png",
        "lock",
        "checkpoints",
        "evaluation.json",
        "evaluation.png",
    }


@pytest.mark.slow
def test_the_demo_learns_and_prints_what_the_readme_shows(tmp_path, capsys):
    """The whole minute: at least 80 % on the 1,000 test images; the README's block, but for its digits."""
    torch.set_num_threads(2)
    assert cli.main(["demo", "--root", str(tmp_path)]) == 0
    printed = capsys.readouterr().out.replace(str(tmp_path), "runs")
    assert json.loads((tmp_path / "demo" / "evaluation.json").read_text())["accuracy"] >= 0.80
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    shown = readme.split("It prints\n\n```\n")[1].split("```")[0]
    lines = {without_digits(line) for line in printed.splitlines()}
    for line in shown.splitlines():
        assert line == "..." or without_digits(line) in lines, line


def without_digits(line: str) -> str:
    """The shape of a line: other processors round differently, have other instructions, and another epoch may be the
    best."""
    if line.startswith("fused C++ kernels, float32, using "):
        return "fused C++ kernels"
    return re.sub(r"\s+", " ", re.sub(r"[\d.,:]+", "0", line)).removesuffix(" best").strip()
