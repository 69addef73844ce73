"""Modules: they own parameters and start values; the equations are in :mod:`bntt.ops`."""

from bntt.engine.compute import Compute
from bntt.engine.prepared import weights_changed
from bntt.nn.analog import DirectEncoder, FrameEncoder
from bntt.nn.block import BlockState, CurrentBlock, NeuronBlock, SpikingBlock
from bntt.nn.call import Call, Noise
from bntt.nn.classifier import SpikingClassifier
from bntt.nn.dropout import SpikeDropout
from bntt.nn.encoder import Encoder
from bntt.nn.expected import ExpectedEncoder
from bntt.nn.fold import fold
from bntt.nn.folded import FoldedLIF
from bntt.nn.lif import LIF
from bntt.nn.measure import Currents, LayerMeasures, Measure, Measured
from bntt.nn.network import SpikingNetwork
from bntt.nn.noisy import NoisyEncoder
from bntt.nn.norm import LayerNorm, NoNorm, NormMethod, TemporalNorm
from bntt.nn.norms import BNTT, NORMS, TAB, TDBN, TEBN, BetaBNTT, NormBuilder, PooledBN, ScaledBNTT, SharedBN
from bntt.nn.poisson import PoissonEncoder
from bntt.nn.readout import Readout, SpikeCount
from bntt.nn.rectifier import Rectifier
from bntt.nn.residual import Residual
from bntt.nn.retime import retime
from bntt.nn.sequence import SequenceEncoder
from bntt.nn.stage import Block, SpikingLayer, Stage
from bntt.nn.state import NetworkState
from bntt.nn.statistics import HeldStatistics, hold_statistics
from bntt.nn.trace import Trace, evaluating
from bntt.ops.folded import FoldedNeuron
from bntt.ops.lif import Neuron, fire_after, fire_before, hard_reset, soft_reset
from bntt.ops.poisson import expectation, expected, straight_through
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
    "BetaBNTT",
    "Block",
    "BlockState",
    "Call",
    "Compute",
    "CurrentBlock",
    "Currents",
    "DirectEncoder",
    "Encoder",
    "ExpectedEncoder",
    "FastSigmoid",
    "FoldedLIF",
    "FoldedNeuron",
    "FrameEncoder",
    "HeldStatistics",
    "LayerMeasures",
    "LayerNorm",
    "Measure",
    "Measured",
    "NetworkState",
    "Neuron",
    "NeuronBlock",
    "NoNorm",
    "Noise",
    "NoisyEncoder",
    "NormBuilder",
    "NormMethod",
    "PoissonEncoder",
    "PooledBN",
    "Pooling",
    "Readout",
    "Rectifier",
    "Residual",
    "ScaledBNTT",
    "SequenceEncoder",
    "SharedBN",
    "SpikeCount",
    "SpikeDropout",
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
    "expectation",
    "expected",
    "fire_after",
    "fire_before",
    "fold",
    "hard_reset",
    "hold_statistics",
    "retime",
    "soft_reset",
    "straight_through",
    "weights_changed",
]
