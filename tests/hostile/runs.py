"""What belongs to runs: checkpoints, run directories, recipes, studies, costs, results, and files of torch.save."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path

import torch

import bntt
from bntt.analysis.energy import load_costs
from bntt.analysis.measurement import ArgumentError
from bntt.deploy import BundleError, bundle, describe
from bntt.io.checkpoint import CheckpointError, read_checkpoint, read_facts, write_checkpoint
from bntt.io.errors import DataError
from bntt.io.pickled import read_pickled
from bntt.models import resnet20
from bntt.runs.imported import import_network
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError, dump_recipe, load_recipe
from bntt.studies.report import html_of, page_of
from bntt.studies.study_file import load_study
from bntt.training.foreign import read_foreign
from tests.foreign import VGG6, Loop, released, saved, snntorch, spikingjelly
from tests.hostile.format import Format, as_file

DOTS = ("·" * 32).encode()
SUM = re.compile(rb'("sha256": ?")([^"]{0,80})(")')
KEYS = (
    b'"__metadata__"',
    b'"format"',
    b'"sha256"',
    b'"facts"',
    b'"dtype"',
    b'"F32"',
    b'"data_offsets"',
    b'"shape"',
    b"\\u0000",
)


BUNDLE = (*KEYS, b'\\"reads\\":', b'\\"nodes\\":', b'\\"scale\\":', b'\\"values\\":', b"-1", b"null", b"[]", b"1e400")


def signed(content: bytes) -> bytes:
    """With the checksum put right, as whoever makes a file can."""
    blank, count = SUM.subn(lambda found: found[1] + DOTS + found[3], content, count=1)
    return blank.replace(DOTS, hashlib.sha256(blank).hexdigest().encode(), 1) if count else content


def checkpoints(folder: Path) -> list[bytes]:
    values = {"model.gamma": torch.ones(2, 3), "model.count": torch.arange(4), "optimizer.0": torch.zeros(0, 2)}
    write_checkpoint(folder / "x.safetensors", values, {"epoch": 3, "recipe": "seed = 0", "lines": [{"a": 1.5}]})
    write_checkpoint(folder / "y.safetensors", {"w": torch.rand(5, generator=torch.Generator().manual_seed(0))}, {})
    return [(folder / name).read_bytes() for name in ("x.safetensors", "y.safetensors")]


def put_signed(folder: Path, content: bytes) -> Path:
    return as_file("x.safetensors")(folder, signed(content))


def read_both(path: Path) -> None:
    facts = read_facts(path)
    assert facts == read_checkpoint(path).facts or facts != facts


def bundles(folder: Path) -> list[bytes]:
    encoder = bntt.PoissonEncoder(2, mean=[0.5], std=[0.25])
    network = resnet20(num_steps=2, width=1 / 16, in_channels=1)
    made = describe(bntt.SpikingClassifier(encoder, network), input_shape=(1, 4, 4), run={"recipe": "seed = 0"})
    for weights in bundle.WEIGHT_TYPES:
        bundle.write(made, folder / weights, weights)
    return [(folder / weights).read_bytes() for weights in bundle.WEIGHT_TYPES]


def pickles(folder: Path) -> list[bytes]:
    loop = Loop((1, (2, "P"), 4, 3), 2, classes=2).randomize()
    contents = (released(loop), spikingjelly(loop), snntorch(loop), dict(loop.state_dict(keep_vars=True)))
    return [saved(content, old=old) for content in contents for old in (False, True)]


def read_weights(path: Path) -> None:
    read_foreign(read_pickled(path))


STEPS = (
    b"cposix\nsystem\n",
    b"R",
    b"\x81",
    b"b",
    b"ctorch.hub\nload\n",
    b"\x93",
    b"Q",
    b"tR.",
    b"ctorch\nFloatStorage\n",
)


def run_of(folder: Path) -> Path:
    """A small run, without a training."""
    place = folder / "kept" / "run"
    if not place.exists():
        loop = Loop(VGG6, 2, width=0.125).randomize()
        (folder / "w.pt").write_bytes(saved(released(loop)))
        wanted = {"model": "vgg6", "data": "fashion-mnist-bundled", "overrides": ("network.width=0.125",)}
        import_network(folder / "w.pt", "run", folder / "kept", **wanted)
        file = place / "environment.json"
        same = {"started": "", "commit": "", "command": [], "processor": ""}  # the same file whenever it is made
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **same}, indent=1))
    return place


def of_run(
    name: str, words: Sequence[bytes] = (), finish: Callable[[bytes], bytes] = lambda content: content
) -> Format:
    """A run of which one file is changed."""

    def put(folder: Path, content: bytes) -> Path:
        if not (folder / "run").exists():
            shutil.copytree(folder / "kept" / "run", folder / "run")
        as_file(name)(folder / "run", finish(content))
        return folder / "run"

    errors = (CheckpointError, RecipeError, DataError)
    return Format(lambda folder: [(run_of(folder) / name).read_bytes()], put, load_run, errors, words, named=False)


def packaged(folder: str, *names: str) -> Callable[[Path], list[bytes]]:
    return lambda _: [files("bntt").joinpath(f"{folder}/{name}.toml").read_bytes() for name in names]


def read_recipe(path: Path) -> None:
    dump_recipe(load_recipe(path))


def results(folder: Path) -> list[bytes]:
    """Of runs that were measured: what `bntt report` reads."""
    place = folder / "shown"
    place.mkdir()
    shutil.copy(run_of(folder) / "recipe.toml", place)
    rows = {f"{name}": [0.5, 0.25] for name in ("conv1", "fc1")}
    numbers = (
        '{"dataset": "x", "split": "test", "epoch": 0, "images": 10, "steps": 2, "draws": 1, "accuracy": 0.5, '
        '"accuracy_sd_over_draws": 0.0, "accuracy_wilson_95": [0.4, 0.6], "accuracy_per_draw": [0.5], '
        f'"accuracy_over_time": [0.25, 0.5], "gamma_magnitude": {rows}, "firing_rate": {rows}, '
        '"spikes_per_image": 7.5}'
    )
    return [numbers.replace("'", '"').encode()]


def put_result(folder: Path, content: bytes) -> Path:
    as_file("evaluation.json")(folder / "shown", content)
    return folder / "shown"


def shown(path: Path) -> None:
    html_of(page_of([path]))


TOML = (b"[", b"[[", b"]]", b" = ", b"{", b'"""', b"network.", b"1979-05-27", b"inf", b"true", b"\n")
FORMATS = {
    "checkpoint": Format(checkpoints, as_file("x.safetensors"), read_both, (CheckpointError,), KEYS),
    "checkpoint-signed": Format(checkpoints, put_signed, read_both, (CheckpointError,), KEYS),
    "bundle": Format(bundles, as_file("x.safetensors"), bundle.read, (BundleError,), BUNDLE),
    "bundle-signed": Format(bundles, put_signed, bundle.read, (BundleError,), BUNDLE),
    "pickled": Format(pickles, as_file("x.pth.tar"), read_weights, (CheckpointError,), STEPS, named=False),
    "recipe": Format(
        packaged("runs/recipes", "demo", "cifar10-best", "dvs-cifar10"),
        as_file("mine.toml"),
        read_recipe,
        (RecipeError,),
        TOML,
        named=False,
    ),
    "study": Format(
        packaged("studies/studies", "table-5", "figure-7"),
        as_file("mine.toml"),
        load_study,
        (RecipeError,),
        TOML,
        named=False,
    ),
    "costs": Format(
        packaged("analysis/energy/cost_tables", "digital-45nm", "neuromorphic"),
        as_file("m.toml"),
        load_costs,
        (ArgumentError,),
        TOML,
        named=False,
    ),
    "run-recipe": of_run("recipe.toml", TOML),
    "run-environment": of_run("environment.json", (b'"shape"', b'"classes"', b"[", b"null")),
    "run-weights": of_run("checkpoints/best.safetensors", KEYS, signed),
    "result": Format(results, put_result, shown, (), (b"<script>", b"null", b"[]", b"1e400"), named=False),
}
