"""Modules: they own parameters and start values; the equations are in :mod:`bntt.ops`."""

from bntt.engine.compute import Compute
from bntt.engine.packed_weights import weights_changed
from bntt.nn.blocks.block import BlockState, CurrentBlock, NeuronBlock, SpikingBlock
from bntt.nn.blocks.dropout import SpikeDropout
from bntt.nn.blocks.readout import Readout, SpikeCount
from bntt.nn.blocks.residual import Residual
from bntt.nn.blocks.stage import Block, SpikingLayer, Stage
from bntt.nn.encoders.analog import DirectEncoder, FrameEncoder
from bntt.nn.encoders.encoder import Encoder
from bntt.nn.encoders.expected import ExpectedEncoder
from bntt.nn.encoders.noisy import NoisyEncoder
from bntt.nn.encoders.poisson import PoissonEncoder
from bntt.nn.encoders.sequence import SequenceEncoder
from bntt.nn.network.call import Call, Noise
from bntt.nn.network.classifier import SpikingClassifier
from bntt.nn.network.fold import fold
from bntt.nn.network.measured import Currents, LayerMeasures, Measure, Measured
from bntt.nn.network.retime import retime
from bntt.nn.network.spiking_network import SpikingNetwork
from bntt.nn.network.state import NetworkState
from bntt.nn.network.trace import Trace, evaluating
from bntt.nn.neurons.lif import LIF
from bntt.nn.neurons.rectifier import Rectifier
from bntt.nn.neurons.varying_lif import FoldedLIF
from bntt.nn.norms.held_statistics import HeldStatistics, hold_statistics
from bntt.nn.norms.methods import BNTT, NORMS, TAB, TDBN, TEBN, BetaBNTT, NormBuilder, PooledBN, ScaledBNTT, SharedBN
from bntt.nn.norms.temporal import LayerNorm, NoNorm, NormMethod, TemporalNorm
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
