"""Modules: they own parameters and start values; the equations are in :mod:`bntt.ops`."""

from bntt.engine.compute import Compute
from bntt.nn.block import SpikingBlock
from bntt.nn.classifier import SpikingClassifier
from bntt.nn.encoder import DirectEncoder, PoissonEncoder
from bntt.nn.lif import LIF
from bntt.nn.measure import Measure, Measured
from bntt.nn.network import SpikingNetwork
from bntt.nn.norm import LayerNorm, NoNorm, NormMethod, TemporalNorm
from bntt.nn.norms import BNTT, NORMS, TAB, TDBN, TEBN, NormBuilder, PooledBN, ScaledBNTT, SharedBN
from bntt.nn.readout import Readout
from bntt.nn.state import BlockState, NetworkState, Noise
from bntt.nn.trace import Trace, evaluating
from bntt.ops.lif import fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

__all__ = [
    "BNTT",
    "LIF",
    "NORMS",
    "TAB",
    "TDBN",
    "TEBN",
    "ArcTan",
    "BlockState",
    "Compute",
    "DirectEncoder",
    "FastSigmoid",
    "LayerNorm",
    "Measure",
    "Measured",
    "NetworkState",
    "NoNorm",
    "Noise",
    "NormBuilder",
    "NormMethod",
    "PoissonEncoder",
    "PooledBN",
    "Readout",
    "ScaledBNTT",
    "SharedBN",
    "SpikingBlock",
    "SpikingClassifier",
    "SpikingNetwork",
    "TemporalNorm",
    "Trace",
    "Triangle",
    "evaluating",
    "fire_after",
    "fire_before",
    "hard_reset",
    "soft_reset",
]
