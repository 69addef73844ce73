"""bntt: train deep spiking networks from scratch with few time steps (Kim & Panda 2021).

Names resolve on first use, so that ``import bntt`` and ``bntt --help`` do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bntt.version import __version__

if TYPE_CHECKING:  # the same names for type checkers, who open every door
    from bntt import analysis as analysis
    from bntt import charts as charts
    from bntt import data as data
    from bntt import interop as interop
    from bntt import models as models
    from bntt import nn as nn
    from bntt import ops as ops
    from bntt import register as register
    from bntt import training as training
    from bntt.io.checkpoint import CheckpointError as CheckpointError
    from bntt.io.checkpoint import load_checkpoint as load_checkpoint
    from bntt.nn import BNTT as BNTT
    from bntt.nn import LIF as LIF
    from bntt.nn import TAB as TAB
    from bntt.nn import TDBN as TDBN
    from bntt.nn import TEBN as TEBN
    from bntt.nn import Compute as Compute
    from bntt.nn import DirectEncoder as DirectEncoder
    from bntt.nn import FrameEncoder as FrameEncoder
    from bntt.nn import LayerNorm as LayerNorm
    from bntt.nn import NoNorm as NoNorm
    from bntt.nn import PoissonEncoder as PoissonEncoder
    from bntt.nn import PooledBN as PooledBN
    from bntt.nn import Readout as Readout
    from bntt.nn import ScaledBNTT as ScaledBNTT
    from bntt.nn import SequenceEncoder as SequenceEncoder
    from bntt.nn import SharedBN as SharedBN
    from bntt.nn import SpikingBlock as SpikingBlock
    from bntt.nn import SpikingClassifier as SpikingClassifier
    from bntt.nn import SpikingNetwork as SpikingNetwork
    from bntt.nn import Trace as Trace
    from bntt.nn import weights_changed as weights_changed
    from bntt.runs.measure import measure as measure
    from bntt.runs.open_run import LoadedRun as LoadedRun
    from bntt.runs.open_run import load_run as load_run
    from bntt.runs.training.fit import History as History
    from bntt.runs.training.fit import fit as fit
    from bntt.training import Method as Method
    from bntt.training import Session as Session

_HOMES = {
    "bntt.nn": (
        "BNTT Compute DirectEncoder FrameEncoder LIF LayerNorm NoNorm PoissonEncoder PooledBN Readout ScaledBNTT "
        "SequenceEncoder SharedBN SpikingBlock SpikingClassifier SpikingNetwork TAB TDBN TEBN Trace weights_changed"
    ),
    "bntt.training": "Method Session",
    "bntt.io.checkpoint": "CheckpointError load_checkpoint",
    "bntt.runs.measure": "measure",
    "bntt.runs.open_run": "LoadedRun load_run",
    "bntt.runs.training.fit": "History fit",
}
_ROOMS = ["analysis", "charts", "data", "interop", "models", "nn", "ops", "register", "training"]
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *_HOME_OF, *_ROOMS]


if not TYPE_CHECKING:  # a checker would take every misspelt name for Any

    def __getattr__(name: str) -> Any:
        if name in _HOME_OF:
            return getattr(import_module(_HOME_OF[name]), name)
        if name in _ROOMS:
            return import_module(f"bntt.{name}")
        raise AttributeError(f"module 'bntt' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
