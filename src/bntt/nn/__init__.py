"""Modules: they own parameters and start values; the equations are in :mod:`bntt.ops`."""

from bntt.engine.compute import Compute
from bntt.nn.block import BlockState, SpikingBlock
from bntt.nn.call import Call, Noise
from bntt.nn.classifier import SpikingClassifier
from bntt.nn.encoder import DirectEncoder, PoissonEncoder
from bntt.nn.lif import LIF
from bntt.nn.measure import Currents, LayerMeasures, Measure, Measured
from bntt.nn.network import SpikingNetwork
from bntt.nn.norm import LayerNorm, NoNorm, NormMethod, TemporalNorm
from bntt.nn.norms import BNTT, NORMS, TAB, TDBN, TEBN, NormBuilder, PooledBN, ScaledBNTT, SharedBN
from bntt.nn.readout import Readout
from bntt.nn.stage import Block, SpikingLayer, Stage
from bntt.nn.state import NetworkState
from bntt.nn.statistics import HeldStatistics, hold_statistics
from bntt.nn.trace import Trace, evaluating
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.pooling import AllSteps, Pooling, Window
from bntt.ops.spike import ArcTan, FastSigmoid, Triangle

__all__ = [
    "BNTT",
    "LIF",
    "NORMS",
    "TAB",
    "TDBN",
    "TEBN",
    "AllSteps",
    "ArcTan",
    "Block",
    "BlockState",
    "Call",
    "Compute",
    "Currents",
    "DirectEncoder",
    "FastSigmoid",
    "HeldStatistics",
    "LayerMeasures",
    "LayerNorm",
    "Measure",
    "Measured",
    "NetworkState",
    "Neuron",
    "NoNorm",
    "Noise",
    "NormBuilder",
    "NormMethod",
    "PoissonEncoder",
    "PooledBN",
    "Pooling",
    "Readout",
    "ScaledBNTT",
    "SharedBN",
    "SpikingBlock",
    "SpikingClassifier",
    "SpikingLayer",
    "SpikingNetwork",
    "Stage",
    "TemporalNorm",
    "Trace",
    "Triangle",
    "Window",
    "evaluating",
    "fire_after",
    "fire_before",
    "hard_reset",
    "hold_statistics",
    "soft_reset",
]
