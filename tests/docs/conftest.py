"""The documents' examples register parts, as users do; other tests of this process do not see them."""

import pytest

from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS
from bntt.data.samples import DATASETS
from bntt.models.spiking import FIRE_RULES, MODELS, RESETS, SURROGATES
from bntt.nn import ENCODERS, NEURONS, NORMS
from bntt.register import REGISTERED

REGISTRIES = (
    *(MODELS, NORMS, NEURONS, ENCODERS, SURROGATES, RESETS, FIRE_RULES, AUGMENTATIONS, EVENT_AUGMENTATIONS),
    *(DATASETS, REGISTERED),
)

OWN = ("gaussian", "half-threshold", "floored", "vertical-flip", "moving-bar")
"""Names of parts in guides; those in docstrings begin with ``register-``."""


@pytest.fixture(autouse=True)
def parts_are_forgotten():
    yield
    for registry in REGISTRIES:
        for name in [name for name in registry if "register-" in name or name.endswith(OWN)]:
            registry.pop(name)
