"""The oracle: a BNTT spiking network in NumPy float64, written from the paper's equations. Imports nothing of bntt.

Forward and backward are spelled out (Eq. 4, 6, 7, 8, 9, 10, 11); loops run over time and layers, one term a line.
Arrays are ``[T, B, C, H, W]`` or ``[T, B, F]``; the encoder's draws are given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray
MASK = (1 << 64) - 1


# ---------------------------------------------------------------- counter-based uniforms and Poisson coding (Supp. B)
def splitmix64(state: int) -> int:
    """One output of SplitMix64 for a state that was already advanced."""
    z = state & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def child(key: int, counter: int) -> int:
    return splitmix64(key + (counter + 1) * 0x9E3779B97F4A7C15)


def uniform(seed: int, purpose: int, draw: int, index: int, t: int, position: int) -> float:
    """The number at one counter: a 24-bit fraction."""
    key = seed
    for counter in (purpose, draw, index, t, position):
        key = child(key, counter)
    return (key >> 40) / 2**24


def signed_poisson(x: Array, u: Array) -> Array:
    """s = sign(x) [2u <= |x|], as released."""
    return np.sign(x) * (2 * u <= np.abs(x))


# ---------------------------------------------------------------- layers
def convolve(x: Array, w: Array) -> Array:
    """3x3, stride 1, padding 1: y[h, w] = sum over the nine offsets."""
    batch, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = np.zeros((batch, w.shape[0], height, width))
    for i in range(3):
        for j in range(3):
            y += np.einsum("bchw,oc->bohw", padded[:, :, i : i + height, j : j + width], w[:, :, i, j])
    return y


def convolve_backward(dy: Array, x: Array, w: Array) -> tuple[Array, Array]:
    """dL/dx and dL/dw of :func:`convolve`."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
    for i in range(3):
        for j in range(3):
            dw[:, :, i, j] = np.einsum("bohw,bchw->oc", dy, padded[:, :, i : i + height, j : j + width])
            dpadded[:, :, i : i + height, j : j + width] += np.einsum("bohw,oc->bchw", dy, w[:, :, i, j])
    return dpadded[:, :, 1:-1, 1:-1], dw


def pool(s: Array, kind: str | None) -> Array:
    """2x2 mean ("halve"), mean of the whole map ("average"), or nothing."""
    if kind == "halve":
        return (s[..., ::2, ::2] + s[..., 1::2, ::2] + s[..., ::2, 1::2] + s[..., 1::2, 1::2]) / 4
    return s.mean((2, 3), keepdims=True) if kind == "average" else s


def pool_backward(d: Array, shape: tuple[int, ...], kind: str | None) -> Array:
    if kind == "halve":
        return np.repeat(np.repeat(d, 2, axis=2), 2, axis=3) / 4
    return np.broadcast_to(d, shape) / (shape[2] * shape[3]) if kind == "average" else d


# ---------------------------------------------------------------- BNTT (Eq. 9, 10, 11; Algorithm 1), one step
def channels(v: Array, ndim: int) -> Array:
    """[C] shaped to broadcast over [B, C, ...]."""
    return v.reshape(1, -1, *[1] * (ndim - 2))


def bntt(x: Array, gamma: Array, mean: Array, var: Array, eps: float) -> tuple[Array, Array]:
    """Eq. 9: y = gamma xhat, xhat = (x - mu) / sqrt(sigma^2 + eps). Returns (y, xhat)."""
    xhat = (x - channels(mean, x.ndim)) / np.sqrt(channels(var, x.ndim) + eps)
    return channels(gamma, x.ndim) * xhat, xhat


def bntt_backward(dy: Array, xhat: Array, gamma: Array, var: Array, eps: float) -> tuple[Array, Array]:
    """Eq. 10 (dL/dx) and Eq. 11 (dL/dgamma), statistics taken over the batch (and space)."""
    axes = (0, *range(2, dy.ndim))
    m = dy.size / dy.shape[1]
    dgamma = (dy * xhat).sum(axes)  # Eq. 11
    dxhat = channels(gamma, dy.ndim) * dy
    numerator = m * dxhat - channels(dxhat.sum(axes), dy.ndim) - xhat * channels((dxhat * xhat).sum(axes), dy.ndim)
    return numerator / (m * np.sqrt(channels(var, dy.ndim) + eps)), dgamma  # Eq. 10


def surrogate(u: Array, threshold: float) -> Array:
    """Eq. 8: do/du = 0.3 max(0, 1 - |(u - theta) / theta|)."""
    return 0.3 * np.maximum(0, 1 - np.abs((u - threshold) / threshold))


# ---------------------------------------------------------------- the network
@dataclass
class Layer:
    """One hidden layer: weights [O, I, 3, 3] or [O, I], gamma [T, C], running statistics [T, C]."""

    weight: Array
    gamma: Array
    running_mean: Array
    running_var: Array
    pool: str | None = None

    @property
    def dense(self) -> bool:
        return self.weight.ndim == 2


@dataclass
class Network:
    layers: list[Layer]
    readout: Array
    leak: float = 0.95
    threshold: float = 1.0
    eps: float = 1e-4
    momentum: float = 0.1
    fire_before: bool = False
    hard_reset: bool = False
    decay_input: bool = False
    """Fang et al. 2021, Eq. 4 with a resting potential of 0: H = V + (X - V) / tau, of leak 1 - 1 / tau."""

    @property
    def input_gain(self) -> float:
        return 1 - self.leak if self.decay_input else 1.0


@dataclass
class Tape:
    """Everything that a forward pass computed, by [t][layer]."""

    inputs: list[list[Array]] = field(default_factory=list)
    xhat: list[list[Array]] = field(default_factory=list)
    var: list[list[Array]] = field(default_factory=list)
    drive: list[list[Array]] = field(default_factory=list)
    """The normalised current, before neurons that decay their input scale it."""
    fired_on: list[list[Array]] = field(default_factory=list)
    """The potential that the threshold was compared with."""
    spikes: list[list[Array]] = field(default_factory=list)
    membrane: list[list[Array]] = field(default_factory=list)
    readout_inputs: list[Array] = field(default_factory=list)
    voltages: list[Array] = field(default_factory=list)

    @property
    def logits(self) -> Array:
        return self.voltages[-1] / len(self.voltages)


def forward(net: Network, inputs: Array, training: bool = True) -> Tape:
    """Algorithm 2's forward part: for t, for l: integrate, fire, reset, pool; the readout accumulates."""
    tape = Tape()
    membranes: list[Array | float] = [0.0] * len(net.layers)
    voltage: Array | float = 0.0
    for t, x in enumerate(inputs):
        rows: dict[str, list[Array]] = {key: [] for key in ("inputs", "xhat", "var", "drive", "fired_on", "spikes")}
        after: list[Array] = []
        for i, layer in enumerate(net.layers):
            if layer.dense:
                x = x.reshape(len(x), -1)
            z = x @ layer.weight.T if layer.dense else convolve(x, layer.weight)
            mean, var = _statistics(layer, z, t, training, net.momentum)
            y, xhat = bntt(z, layer.gamma[t], mean, var, net.eps)
            u, x_in = membranes[i], y
            y = net.input_gain * y
            if net.fire_before:
                potential = u + np.zeros_like(y)
                o = (potential > net.threshold).astype(np.float64)
                kept = net.leak * potential
                u_next = (kept * (1 - o) if net.hard_reset else kept - net.threshold * o) + y
            else:
                potential = net.leak * u + y  # Eq. 4 and 9
                o = (potential > net.threshold).astype(np.float64)
                u_next = potential * (1 - o) if net.hard_reset else potential - net.threshold * o
            membranes[i] = u_next
            for key, value in zip(rows, (x, xhat, var, x_in, potential, o), strict=True):
                rows[key].append(value)
            after.append(u_next)
            x = pool(o, layer.pool)
        for key, values in rows.items():
            getattr(tape, key).append(values)
        tape.membrane.append(after)
        x = x.reshape(len(x), -1)
        tape.readout_inputs.append(x)
        voltage = voltage + x @ net.readout.T
        tape.voltages.append(np.array(voltage))
    return tape


def _statistics(layer: Layer, z: Array, t: int, training: bool, momentum: float) -> tuple[Array, Array]:
    """Batch statistics (biased variance) in training, the running ones otherwise; Algorithm 1's running update."""
    if not training:
        return layer.running_mean[t].copy(), layer.running_var[t].copy()
    axes = (0, *range(2, z.ndim))
    mean, m = z.mean(axes), z.size / z.shape[1]
    var = ((z - channels(mean, z.ndim)) ** 2).mean(axes)
    layer.running_mean[t] = (1 - momentum) * layer.running_mean[t] + momentum * mean
    layer.running_var[t] = (1 - momentum) * layer.running_var[t] + momentum * var * m / (m - 1)
    return mean, var


def folded(current: Array, tables: dict[str, Array], fire_before: bool, hard_reset: bool) -> tuple[Array, Array, Array]:
    """Neurons whose constants vary, ``[T, C]`` each, from rest: spikes, the potentials they were decided on, and the
    last membrane. ``current`` is ``[T, B, C]``."""
    u, spikes, potentials = np.zeros(current.shape[1:]), [], []
    for t, y in enumerate(current):
        leak, threshold, amount = tables["leak"][t], tables["threshold"][t], tables["amount"][t]
        drive = tables["gain"][t] * y + tables["bias"][t]
        m = u if fire_before else leak * u + drive
        o = np.where(tables["turned"][t], m < threshold, m > threshold).astype(np.float64)
        kept = leak * u if fire_before else m
        u = kept * (1 - o) if hard_reset else kept - amount * o
        if fire_before:
            u = u + drive
        spikes.append(o)
        potentials.append(m)
    return np.stack(spikes), np.stack(potentials), u


def cross_entropy(logits: Array, labels: Array) -> float:
    """Eq. 5 on u^T / T, mean over the batch."""
    shifted = logits - logits.max(1, keepdims=True)
    log_softmax = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return float(-log_softmax[np.arange(len(labels)), labels].mean())


@dataclass
class Gradients:
    weights: list[Array]
    gammas: list[Array]
    readout: Array
    inputs: Array
    leaks: list[float]


def backward(net: Network, tape: Tape, labels: Array, frozen_statistics: bool = False) -> Gradients:
    """Eq. 6: back-propagation through time, the reset a constant, from Eq. 7 at the output."""
    steps, batch = len(tape.voltages), len(labels)
    weights = [np.zeros_like(layer.weight) for layer in net.layers]
    gammas = [np.zeros_like(layer.gamma) for layer in net.layers]
    readout = np.zeros_like(net.readout)
    dinputs, leaks = [], [0.0] * len(net.layers)
    exp = np.exp(tape.logits - tape.logits.max(1, keepdims=True))
    onehot = np.eye(net.readout.shape[0])[labels]
    dvoltage = (exp / exp.sum(1, keepdims=True) - onehot) / batch / steps  # Eq. 7, for u^T / T
    carried: list[Array | float] = [0.0] * len(net.layers)  # dL/du after the step's reset
    for t in reversed(range(steps)):
        readout += dvoltage.T @ tape.readout_inputs[t]
        d = dvoltage @ net.readout
        for i in reversed(range(len(net.layers))):
            layer, o = net.layers[i], tape.spikes[t][i]
            pooled = pool(o, layer.pool)
            do = pool_backward(d.reshape(pooled.shape), o.shape, layer.pool)
            slope = do * surrogate(tape.fired_on[t][i], net.threshold)  # Eq. 8
            keep = 1 - o if net.hard_reset else 1.0
            if net.fire_before:
                dy = carried[i] + np.zeros_like(o)
                dleak = keep * dy * tape.fired_on[t][i]  # of what leaks: u before the reset
                carried[i] = net.leak * keep * dy + slope
            else:
                dy = slope + carried[i] * keep
                dleak = dy * (tape.membrane[t - 1][i] if t else 0.0)
                carried[i] = net.leak * dy
            leaks[i] += float((dleak - net.decay_input * dy * tape.drive[t][i]).sum())  # d(1 - leak) = -d(leak)
            dy = net.input_gain * dy
            if frozen_statistics:
                gain = channels(layer.gamma[t] / np.sqrt(tape.var[t][i] + net.eps), dy.ndim)
                dz = dy * gain
                gammas[i][t] = (dy * tape.xhat[t][i]).sum((0, *range(2, dy.ndim)))
            else:
                dz, gammas[i][t] = bntt_backward(dy, tape.xhat[t][i], layer.gamma[t], tape.var[t][i], net.eps)
            x = tape.inputs[t][i]
            if layer.dense:
                weights[i] += dz.T @ x
                d = dz @ layer.weight
            else:
                d, dw = convolve_backward(dz, x, layer.weight)
                weights[i] += dw
        dinputs.append(d)
    return Gradients(weights, gammas, readout, np.stack(dinputs[::-1]), leaks)
