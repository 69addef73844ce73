"""What a type checker sees of ``import bntt``: the names that Python sees, with their types."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bntt
import bntt.deploy

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


def test_every_name_of_a_door_opens():
    for one in (bntt, bntt.analysis, bntt.deploy):
        _, *lines = ast.parse(Path(one.__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
        handed_on = [(part.name, part.asname) for line in lines for part in line.names]
        assert [(name, name) for name in one.__all__] == handed_on, "only `x as x` is handed on"
        assert dir(one) == sorted(one.__all__)
        assert all(getattr(one, name) is not None for name in one.__all__)
        with pytest.raises(AttributeError, match=f"module '{one.__name__}' has no attribute 'fitt'"):
            _ = one.fitt


@pytest.mark.slow
def test_a_type_checker_knows_the_public_names(tmp_path):
    (tmp_path / "snippet.py").write_text(SNIPPET)
    options = ["--config-file=", f"--cache-dir={tmp_path}/cache", "--follow-imports=silent"]
    command = [sys.executable, "-m", "mypy", *options, "snippet.py"]
    settings = {**os.environ, "MYPYPATH": str(DOOR.parents[1])}
    done = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    seen = [line.partition('Revealed type is "')[2] for line in done.stdout.splitlines() if "Revealed" in line]
    parts = (
        ("model: bntt.nn.network.classifier.SpikingClassifier", "-> bntt.runs.training.fit.History"),
        ("channels: int, num_steps: int", "-> bntt.nn.norms.BNTT"),
        ("encoder: bntt.nn.encoders.Encoder", "-> bntt.nn.network.classifier.SpikingClassifier"),
        ("num_steps: int", "-> bntt.nn.network.spiking_network.SpikingNetwork"),
        ("data: bntt.data.samples.SampleSet", "-> bntt.data.loader.SampleLoader"),
        ("draws: int", "-> bntt.analysis.accuracy.evaluation.Evaluation"),
    )
    for (first, last), line in zip(parts, seen, strict=True):
        assert first in line, done.stdout
        assert last in line, done.stdout
    assert 'has no attribute "fitt"' in done.stdout
    assert "Found 1 error" in done.stdout
