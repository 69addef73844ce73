"""Graphs of NIR: what a process of its own does with a file, done in this one, and the graph that it tells."""

from __future__ import annotations

from pathlib import Path

import bntt
from bntt.deploy import DeployError, describe
from bntt.deploy.nir import hdf5
from bntt.deploy.nir.graph import described, unpacked
from bntt.models import resnet20, vgg6
from tests.hostile.format import Format, as_file


def graph_of(folder: Path, network: bntt.SpikingNetwork) -> bytes:
    from bntt.deploy.nir import graph

    encoder = bntt.PoissonEncoder(2, mean=[0.5], std=[0.25])
    graph.write(describe(bntt.SpikingClassifier(encoder, network), input_shape=(1, 8, 8)), folder / "x")
    return (folder / "x").read_bytes()


def files(folder: Path) -> list[bytes]:
    made = (vgg6(num_steps=2, width=1 / 16, image_size=8, reset=reset) for reset in ("soft", "hard"))
    return [graph_of(folder, network) for network in made]


def told(folder: Path) -> list[bytes]:
    network = resnet20(num_steps=2, width=1 / 16, in_channels=1, fire="before")
    return [hdf5.packed(graph_of(folder, network))]


def read_here(path: Path) -> None:
    described(unpacked(hdf5.packed(path.read_bytes())))


def read_told(path: Path) -> None:
    try:
        graph = unpacked(path.read_bytes())
    except Exception as error:  # the process writes none that are broken
        raise DeployError(f"{error!s:.200}") from None
    described(graph)


WORDS = (
    b'"type"',
    b'"metadata"',
    b'"edges"',
    b'"\\u0000array"',
    b"Conv2d",
    b"Affine",
    b"LIF",
    b"Delay",
    b"null",
    b"1e400",
)
FORMATS = {
    "nir": Format(files, as_file("x.nir"), read_here, (hdf5.Refused, DeployError), named=False, needs="nir"),
    "nir-graph": Format(told, as_file("x"), read_told, (DeployError,), WORDS, named=False, needs="nir"),
}
