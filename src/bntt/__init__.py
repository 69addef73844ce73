"""bntt: train deep spiking networks from scratch with few time steps (Kim & Panda 2021).

Names resolve on first use, so that ``import bntt`` and ``bntt --help`` do not wait for torch.
"""

from importlib import import_module
from typing import Any

from bntt.version import __version__

_HOMES = {
    "bntt.nn": [
        "BNTT",
        "TAB",
        "TDBN",
        "TEBN",
        "DirectEncoder",
        "LIF",
        "LayerNorm",
        "NoNorm",
        "PoissonEncoder",
        "PooledBN",
        "Readout",
        "ScaledBNTT",
        "SharedBN",
        "SpikingBlock",
        "SpikingClassifier",
        "SpikingNetwork",
        "Trace",
    ],
    "bntt.training": ["fit"],
}
_ROOMS = ["analysis", "data", "models", "nn", "ops", "training"]
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF, *_ROOMS]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    if name in _ROOMS:
        return import_module(f"bntt.{name}")
    raise AttributeError(f"module 'bntt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
