"""Pretrained networks inside the wheel, each with the facts about the run that trained it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import safetensors.torch

from bntt.io.checkpoint import misfits, widened
from bntt.io.errors import refusing
from bntt.io.files import digest_of_bytes
from bntt.models.spiking import create
from bntt.nn.kinds import ENCODERS
from bntt.nn.network.classifier import SpikingClassifier
from bntt.registry import Registry

PRETRAINED: Registry[str] = Registry(
    "pretrained network",
    {
        "fashion-mnist-vgg6": "VGG6 on signed Poisson spikes, the paper's method, with its decay of γ",
        "fashion-mnist-best": "VGG6 at twice the channels, the most accurate: direct coding, no decay of γ",
        "fashion-mnist-direct": "VGG6 chosen for accuracy at half the bytes: direct coding, no decay of γ",
        "fashion-mnist-sparse": "half of VGG6 that fires little: direct coding, two steps, a strong decay of γ",
        "fashion-mnist-rows": "three fully connected layers that read a row of the image a step",
        "fashion-mnist-events-small": "half of VGG6 on frames of a simulated event camera",
        "cifar10-compact": "a small residual network on CIFAR-10 (JPEG copy): two steps, direct coding, no decay of γ",
    },
)
"""What each pretrained network is. `bntt train NAME` trains it again; ``docs/make.py --weights`` makes its files."""


class PretrainedError(RuntimeError):
    """A pretrained network whose files are missing, damaged, or inconsistent with each other."""


@dataclass(frozen=True)
class PretrainedFacts:
    """Facts about a trained network, accuracies from its run's own evaluation; returned by :func:`pretrained_facts`."""

    dataset: str
    """Name of the dataset it was trained on."""
    classes: tuple[str, ...]
    """Names of the K classes."""
    image_shape: tuple[int, int, int]
    """``[C, H, W]`` of an image, or of a frame."""
    order: str
    """How :func:`bntt.data.samples.arrange` turns an image into a sequence; "" if it stays an image."""
    network: dict[str, Any]
    """Name and arguments of its builder."""
    encoder: dict[str, Any]
    """Name and arguments of its encoder: mean and std are of the training images."""
    seed: int
    """Seed of its run."""
    epoch: int
    """The epoch that validated best, from 1."""
    validation: dict[str, Any]
    """Images, draws, accuracy, its standard deviation over draws, its 95 % interval, accuracy over time, spikes per
    image."""
    test: dict[str, Any]
    """The same for the test images, with the weights as stored."""
    energy_uj: float
    """Energy of a test image's arithmetic by a 45 nm table, in µJ; each spike in a pooled value is one addition
    (`bntt energy`)."""
    stored: dict[str, Any]
    """Number format of the synaptic weights in the file, its bytes, and the test accuracy before they were rounded."""
    bundled_test: dict[str, int]
    """Correct answers in the first 100 and in all 1,000 test images of :func:`~bntt.data.fashion_mnist_bundled`, in
    float64 and plain PyTorch, in draw 0 of an evaluation with ``seed``: the same on every machine. Empty for a network
    that takes other samples."""
    recipe: str
    """The recipe given to `bntt train`, as TOML."""
    run: dict[str, Any]
    """Commit, versions, processor and device, threads, start and seconds of the run."""
    data_sha256: dict[str, str]
    """SHA-256 of the prepared training and test images."""
    licence: str
    """Licence of the data."""
    sha256: str
    """SHA-256 of the weights file."""


AGAIN = "install the package again"


def pretrained(name: str = "fashion-mnist-vgg6") -> SpikingClassifier:
    """Return a trained network with its encoder, in evaluation mode; its weights are verified by their checksum.

    Args:
        name: a key of ``PRETRAINED``, which says what each is; `bntt list pretrained` prints their accuracies.
            ``fashion-mnist-rows`` takes sequences of rows, ``fashion-mnist-events-small`` frames of events; the other
            Fashion-MNIST networks take grey images of 28x28 (light on dark), ``cifar10-compact`` RGB images of 32x32.

    Raises:
        ValueError: on an unknown name; the message lists the known ones.
        PretrainedError: if its files are missing or damaged, or the weights do not fit the network.

    >>> model = pretrained()
    >>> model.network.num_steps, model.training
    (8, False)
    """
    return read_pretrained(name, _folder())


def pretrained_facts(name: str = "fashion-mnist-vgg6") -> PretrainedFacts:
    """Return the facts about a trained network: its classes, accuracy, recipe and run.

    Args:
        name: a key of ``PRETRAINED``.

    Raises:
        ValueError: on an unknown name; the message lists the known ones.
        PretrainedError: if the file is missing or damaged.

    >>> pretrained_facts().classes[:2], pretrained_facts().image_shape
    (('T-shirt/top', 'Trouser'), (1, 28, 28))
    """
    return read_facts(name, _folder())


def read_pretrained(name: str, folder: Traversable) -> SpikingClassifier:
    """Load a trained network like :func:`pretrained`, from files in a folder."""
    facts = read_facts(name, folder)
    with refusing(f"{name}.safetensors is missing or damaged", remedy=AGAIN, error=PretrainedError):
        payload = folder.joinpath(f"{name}.safetensors").read_bytes()
        if digest_of_bytes(payload) != facts.sha256:
            raise ValueError(f"it is not the file that {name}.json describes (SHA-256)")
        state = widened(safetensors.torch.load(payload))
    with refusing(f"{name}.json describes no network", remedy=AGAIN, error=PretrainedError):
        encoder = ENCODERS.resolve(facts.encoder["name"])(**facts.encoder)
        model = SpikingClassifier(encoder, create(**facts.network))
    if wrong := misfits(state, model.state_dict()):
        raise PretrainedError(f"{name}.safetensors does not fit the network of {name}.json ({wrong[0]}): {AGAIN}")
    model.load_state_dict(state)
    return model.eval()


def read_facts(name: str, folder: Traversable) -> PretrainedFacts:
    """Read the facts like :func:`pretrained_facts`, from a file in a folder."""
    PRETRAINED.resolve(name)
    with refusing(f"{name}.json is missing or damaged", remedy=AGAIN, error=PretrainedError):
        facts = json.loads(folder.joinpath(f"{name}.json").read_bytes())
        return PretrainedFacts(**facts | {key: tuple(facts[key]) for key in ("classes", "image_shape")})


def _folder() -> Traversable:
    return files("bntt.models").joinpath("weights")
