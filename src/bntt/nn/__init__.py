"""Modules: they own parameters and start values; the equations are in :mod:`bntt.ops`."""

from bntt.engine.compute import Compute
from bntt.nn.analog import DirectEncoder, FrameEncoder
from bntt.nn.block import SpikingBlock
from bntt.nn.classifier import SpikingClassifier
from bntt.nn.encoder import Encoder
from bntt.nn.lif import LIF
from bntt.nn.measure import Measure, Measured
from bntt.nn.network import SpikingNetwork
from bntt.nn.norm import LayerNorm, NoNorm, NormMethod, TemporalNorm
from bntt.nn.norms import BNTT, NORMS, TAB, TDBN, TEBN, NormBuilder, PooledBN, ScaledBNTT, SharedBN
from bntt.nn.poisson import PoissonEncoder
from bntt.nn.readout import Readout
from bntt.nn.state import BlockState, NetworkState, Noise
from bntt.nn.trace import Trace, evaluating
from bntt.ops.lif import fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.poisson import expected, straight_through
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
    "Encoder",
    "FastSigmoid",
    "FrameEncoder",
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
    "expected",
    "fire_after",
    "fire_before",
    "hard_reset",
    "soft_reset",
    "straight_through",
]
