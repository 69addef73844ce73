"""Names that recipes accept: those of the library's own dictionaries, looked up only when a recipe is read."""

from __future__ import annotations

from collections.abc import Collection


def datasets() -> Collection[str]:
    """Return the datasets, built in or prepared from files, of images or recordings."""
    from bntt.data.registry import DATASETS

    return DATASETS


def orders() -> Collection[str]:
    """Return the orders of an image's pixels over time."""
    from bntt.data.sequences import ORDERS

    return ORDERS


def augmentations() -> Collection[str]:
    """Return the random augmentations of training images or recordings."""
    from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS

    return {**AUGMENTATIONS, **EVENT_AUGMENTATIONS}


def mixes() -> Collection[str]:
    """Return the ways to mix two training images."""
    from bntt.data.mix import MIXES

    return MIXES


def encoders() -> Collection[str]:
    """Return the encoders of images, and those that take frames or sequences as they are."""
    from bntt.nn import ENCODERS

    return ENCODERS


def models() -> Collection[str]:
    """Return the spiking networks."""
    from bntt.models import MODELS

    return MODELS


def pretrained() -> Collection[str]:
    """Return the pretrained networks."""
    from bntt.models import PRETRAINED

    return PRETRAINED


def norms() -> Collection[str]:
    """Return the normalisations."""
    from bntt.nn import NORMS

    return NORMS
