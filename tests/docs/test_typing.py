"""What a type checker sees of ``import bntt``: the names that Python sees, with their types."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bntt

DOOR = Path(bntt.__file__)
SNIPPET = """
import bntt

reveal_type(bntt.fit)
reveal_type(bntt.BNTT)
reveal_type(bntt.SpikingClassifier)
reveal_type(bntt.models.vgg9)
reveal_type(bntt.data.SampleLoader)
reveal_type(bntt.analysis.evaluate)
bntt.fitt

def sets(images: bntt.data.ImageSet, frames: bntt.data.FrameSet) -> list[bntt.data.SampleSet]:
    return [images, frames, bntt.data.SequenceSet(images)]

def encoders() -> list[bntt.nn.Encoder]:
    return [bntt.PoissonEncoder(2), bntt.DirectEncoder(2), bntt.FrameEncoder(2), bntt.SequenceEncoder(2)]
"""


def typed_names():
    """Name to home, out of the block that type checkers alone read."""
    block = next(
        node
        for node in ast.parse(DOOR.read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    rows = [(part.module, alias) for part in block.body for alias in part.names]
    assert all(alias.name == alias.asname for _, alias in rows), "only `x as x` is handed on"
    return {alias.name: module for module, alias in rows}


def test_typed_and_lazy_names_are_the_same():
    expected = dict.fromkeys(bntt._ROOMS, "bntt") | bntt._HOME_OF
    assert typed_names() == expected
    assert {*expected, "__version__"} == set(bntt.__all__)


@pytest.mark.slow
def test_a_type_checker_knows_the_public_names(tmp_path):
    (tmp_path / "snippet.py").write_text(SNIPPET)
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file=",
        f"--cache-dir={tmp_path}/cache",
        "--follow-imports=silent",
    ]
    done = subprocess.run(
        [*command, "snippet.py"],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(DOOR.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    seen = [line.partition('Revealed type is "')[2] for line in done.stdout.splitlines() if "Revealed" in line]
    parts = (
        ("model: bntt.nn.network.classifier.SpikingClassifier", "-> bntt.runs.training.fit.History"),
        ("channels: int, num_steps: int", "-> bntt.nn.norms.methods.BNTT"),
        ("encoder: bntt.nn.encoders.encoder.Encoder", "-> bntt.nn.network.classifier.SpikingClassifier"),
        ("num_steps: int", "-> bntt.nn.network.spiking_network.SpikingNetwork"),
        ("data: bntt.data.samples.SampleSet", "-> bntt.data.loader.SampleLoader"),
        ("draws: int", "-> bntt.analysis.accuracy.evaluation.Evaluation"),
    )
    for (first, last), line in zip(parts, seen, strict=True):
        assert first in line, done.stdout
        assert last in line, done.stdout
    assert 'has no attribute "fitt"' in done.stdout
    assert "Found 1 error" in done.stdout
