"""The names that recipes know: those of the library's own dictionaries, opened when a recipe is read and not before."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection
from typing import get_args

from pydantic import AfterValidator


def datasets() -> Collection[str]:
    """Built in, or prepared from files, of images or of recordings."""
    from bntt.data.registry import DATASETS

    return DATASETS


def orders() -> Collection[str]:
    """Of an image's pixels over time."""
    from bntt.data.sequences import ORDERS

    return ORDERS


def augmentations() -> Collection[str]:
    """Of training images or recordings."""
    from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS

    return {**AUGMENTATIONS, **EVENT_AUGMENTATIONS}


def mixes() -> Collection[str]:
    """Of two training images."""
    from bntt.data.mix import MIXES

    return MIXES


def models() -> Collection[str]:
    """Spiking networks."""
    from bntt.models import MODELS

    return MODELS


def norms() -> Collection[str]:
    """Normalisations."""
    from bntt.nn import NORMS

    return NORMS


def fire_rules() -> Collection[str]:
    """Before or after integration."""
    from bntt.models.spiking import FIRE_RULES

    return FIRE_RULES


def resets() -> Collection[str]:
    """After a spike."""
    from bntt.models.spiking import RESETS

    return RESETS


def surrogates() -> Collection[str]:
    """Gradients of a spike."""
    from bntt.models.spiking import SURROGATES

    return SURROGATES


def optimizers() -> Collection[str]:
    """PyTorch's, that a method knows."""
    from bntt.training.method import OptimizerName

    return get_args(OptimizerName)


def schedules() -> Collection[str]:
    """Of the learning rate."""
    from bntt.training.method import Schedule

    return get_args(Schedule)


def losses() -> Collection[str]:
    """What is minimised."""
    from bntt.training.method import Loss

    return get_args(Loss)


def one_of(known: Callable[[], Collection[str]], *, or_none: bool = False) -> AfterValidator:
    """A name out of the dictionary that gives it its meaning, which is opened when a recipe is read, not before.

    Args:
        or_none: whether "" may stand instead of a name.
    """

    def check(name: str) -> str:
        if (or_none and not name) or name in (names := known()):
            return name
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        none = ', or "" for none' if or_none else ""
        raise ValueError(f"unknown name; {hint}choose one of {', '.join(names)}{none}")

    return AfterValidator(check)
