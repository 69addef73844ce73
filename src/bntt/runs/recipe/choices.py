"""The names that recipes know: those of the library's own dictionaries, opened when a recipe is read and not before."""

from __future__ import annotations

from collections.abc import Collection


def datasets() -> Collection[str]:
    """Built in, or prepared from files, of images or of recordings."""
    from bntt.data.registry import DATASETS

    return DATASETS


def orders() -> Collection[str]:
    """Orders of an image's pixels over time."""
    from bntt.data.sequences import ORDERS

    return ORDERS


def augmentations() -> Collection[str]:
    """Random changes of training images or recordings."""
    from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS

    return {**AUGMENTATIONS, **EVENT_AUGMENTATIONS}


def mixes() -> Collection[str]:
    """Mixes of two training images."""
    from bntt.data.mix import MIXES

    return MIXES


def encoders() -> Collection[str]:
    """Codes of an image, and what takes frames or sequences as they are."""
    from bntt.nn import ENCODERS

    return ENCODERS


def models() -> Collection[str]:
    """Spiking networks."""
    from bntt.models import MODELS

    return MODELS


def pretrained() -> Collection[str]:
    """Networks that come trained."""
    from bntt.models import PRETRAINED

    return PRETRAINED


def norms() -> Collection[str]:
    """Normalisations."""
    from bntt.nn import NORMS

    return NORMS
