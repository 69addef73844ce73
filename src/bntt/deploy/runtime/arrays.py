"""The network in plain NumPy, float32 or float64: the reference for every other way to run it outside PyTorch.

Samples and the network's input are bit-identical to the library's: random numbers are counter-based.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from bntt.deploy.description import (
    Array,
    DeployError,
    Description,
    Layer,
    Neurons,
    Pictures,
    Pool,
    Weights,
    inputs,
    require,
)
from bntt.engine.cpu import library

IN_TIME = ("frames", "sequence")
"""Encoders whose samples have an input for each step."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
SPIKES, PIXELS = 1, 15
"""Numbers of ``bntt.ops.random.Purpose``."""


def _child(key: Array, counter: Array) -> Array:
    """Return key number ``counter`` below ``key``: output ``counter + 1`` of SplitMix64 seeded with the key."""
    z = key + (counter.astype(np.uint64) + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def sample_keys(seed: int, purpose: int, draw: int, index: Array) -> Array:
    """Return a 64-bit key for each sample."""
    key = np.array([seed], np.uint64)
    for counter in (purpose, draw):
        key = _child(key, np.array([counter]))
    return _child(key, index)


def uniform(keys: Array, size: int) -> Array:
    """Draw ``size`` float32 numbers in [0, 1), multiples of 2⁻²⁴, for every key."""
    bits = _child(keys[..., None], np.arange(size)) >> np.uint64(40)
    drawn: Array = bits.astype(np.float32) * np.float32(2.0**-24)
    return drawn


def places(pixels: int) -> Array:
    """Return the fixed order of the pixels of permuted sequences, see :func:`bntt.data.samples.places`."""
    keys = sample_keys(0, PIXELS, 0, np.arange(pixels)).astype(np.int64)
    order: Array = np.argsort(keys, kind="stable")
    return order


@dataclass(frozen=True, eq=False)
class Noise:
    """Keys of the samples' random numbers, as :class:`bntt.nn.Noise`."""

    seed: int
    draw: int
    index: Array
    """Each sample's place in its dataset, ``[B]``."""

    def rows(self, chosen: Any) -> Noise:
        """Return the noise of some samples."""
        return replace(self, index=self.index[chosen])

    def keys(self, steps: range) -> Array:
        """Return one key for each time step and sample, ``[S, B]``."""
        return _child(sample_keys(self.seed, SPIKES, self.draw, self.index), np.array(steps)[:, None])


def noise_of(seed: int | None, draw: int | None, index: Any, batch: int, known: Noise | None = None) -> Noise:
    """Return the noise of a batch: a state's, or the given one, by default seed 0, draw 0 and samples 0 to B-1."""
    if known is not None:
        same = index is None or np.array_equal(index, known.index)
        require(
            seed in (None, known.seed) and draw in (None, known.draw) and same,
            f"the state has the noise of seed {known.seed}, draw {known.draw} and its own index: "
            f"leave out seed, draw and index, or begin with state=None",
        )
        return known
    seed, draw = 0 if seed is None else seed, 0 if draw is None else draw
    for name, value in (("seed", seed), ("draw", draw)):
        fits = isinstance(value, int | np.integer) and 0 <= value < 1 << 63
        require(fits, f"{name} must be an integer from 0 to 2**63 - 1, got {value}")
    places = np.arange(batch) if index is None else np.asarray(index)
    require(
        places.shape == (batch,) and places.dtype.kind in "iu",
        f"index must name each of the {batch} samples by an integer, got {places.dtype} {list(places.shape)}",
    )
    return Noise(seed, draw, places.astype(np.int64))


def samples_of(made: Description, x: Any, dtype: Any, *, whole: bool) -> Array:
    """Return a batch of samples in the runtime's type, checked and normalised; ``whole``: all steps of frames."""
    encoder, samples = made.encoder, np.asarray(x)
    timed, wanted = encoder.kind in IN_TIME, made.input_shape
    if timed and whole:
        wanted = (encoder.num_steps, *wanted)
    if samples.dtype.kind != "f" and not (encoder.kind == "frames" and samples.dtype.kind in "iub"):
        raise TypeError(f"samples must be floating point, got {samples.dtype}: divide pixels by 255")
    fits = samples.shape[1:] == wanted and samples.ndim == len(wanted) + 1 and len(samples)
    require(fits, f"samples must be [B, {', '.join(map(str, wanted))}] with B >= 1, got {list(samples.shape)}")
    least, most = (-np.finfo(dtype).max, np.finfo(dtype).max) if timed else (0, 1)
    low, high = samples.min(), samples.max()
    limits = f"finite in {np.dtype(dtype)}" if timed else "finite and from 0 to 1"
    require(least <= low and high <= most, f"samples must be {limits}, got {low:.4g} to {high:.4g}")
    values = samples.astype(dtype)
    if encoder.mean:
        images = len(made.input_shape) == 3
        mean, std = (np.array(one, dtype).reshape(-1, *[1] * (2 * images)) for one in (encoder.mean, encoder.std))
        values = (values - mean) / std
    fits = not encoder.kind.endswith("unsigned") or (values.min() >= 0 and values.max() <= 1)
    require(fits, f"unsigned coding takes values from 0 to 1, got {values.min():.4g} to {values.max():.4g}")
    return values


def encode(made: Description, values: Array, noise: Noise, steps: range, threads: int = 0) -> Array:
    """Return the input of some steps, ``[S, B, H, W, C]``; ``[1, B, H, W, C]`` if it is the same in every one.

    With ``threads``, the kernel draws spikes, as int8.
    """
    kind = made.encoder.kind
    if kind in IN_TIME:
        drawn = np.moveaxis(values, 1, 0)
    elif kind.startswith("poisson"):
        keys = noise.keys(steps)
        if threads:
            (channels, height, width), batch = made.image, len(values)
            keys, values = np.ascontiguousarray(keys), np.ascontiguousarray(values)
            spikes = np.empty((len(steps), batch, height, width, channels), np.int8)
            library.call(
                "bntt_poisson",
                *(values.ctypes.data, keys.ctypes.data, spikes.ctypes.data),
                *(len(steps), batch, channels, height * width, kind == "poisson", threads),
            )
            return spikes
        r = uniform(keys, values[0].size).reshape(len(steps), *values.shape)
        drawn = r < values if kind == "poisson-unsigned" else (2 * r <= np.abs(values)) * np.sign(values)
    else:
        drawn = (np.clip(values / 2, -1, 1) if kind == "expected" else values)[None]
    return np.moveaxis(drawn.reshape(*drawn.shape[:2], *made.image), 2, -1)


def pictures_of(made: Description) -> Pictures:
    """Return how a picture becomes a network's sample."""
    if made.pictures is None:
        frames = f"it takes frames {list(made.input_shape)}: in Python, give them to Runtime.run or Runtime.step"
        how = frames if made.encoder.kind == "frames" else "write it with pictures= in bntt.deploy.export"
        raise DeployError(f"the bundle does not say how a picture becomes a sample: {how}")
    return made.pictures


def arranged(images: Array, order: str) -> Array:
    """Return images ``[N, C, H, W]`` in the order of :func:`bntt.data.samples.arrange`; "": as they are."""
    if not order:
        return images
    count, channels, height, width = images.shape
    if order == "rows":
        return images.swapaxes(1, 2).reshape(count, height, channels * width)
    pixels = images.reshape(count, channels, height * width).swapaxes(1, 2)
    return pixels if order == "pixels" else pixels[:, places(height * width)]


MOST_COLUMNS = 1 << 21
"""Most numbers of the windows of a convolution that are laid out at once."""
Membranes = tuple[Array | None, ...]


class Arrays:
    """Runs a description, channels last: ``[S, B, H, W, C]``."""

    def __init__(self, made: Description, dtype: Any) -> None:
        self.made, self.dtype = made, np.dtype(dtype)
        self.synapses: list[Synapse | None] = []
        for node in made.nodes:
            synapse = None
            if isinstance(node, Layer) and node.weights is not None:
                image = made.image if node.reads < 0 else made.shapes[node.reads][1]
                for pool in node.before:
                    image = pool.shape(image)
                synapse = Synapse(node.weights, image, self.dtype)
            self.synapses.append(synapse)
        self.last_reader = {read: place for place, node in enumerate(made.nodes) for read in inputs(node)}

    def advance(self, x: Array, steps: range, membranes: Sequence[Array | None] | None) -> tuple[Array, Membranes]:
        """Return what the readout adds in each step, ``[S, B, K]``, and every node's membranes after the last."""
        values, after = {-1: x.astype(self.dtype)}, list[Array | None]()
        for place, node in enumerate(self.made.nodes):
            if isinstance(node, Layer):
                before = None if membranes is None else membranes[place]
                values[place], membrane = self._layer(place, node, values[node.reads], steps, before)
            else:
                one, other = node.reads
                values[place], membrane = values[one] + values[other], None
            after.append(membrane)
            for read in [read for read in values if self.last_reader.get(read, math.inf) <= place]:
                del values[read]
        return values[len(self.made.nodes) - 1][:, :, 0, 0], tuple(after)

    def _layer(
        self, place: int, layer: Layer, x: Array, steps: range, membrane: Array | None
    ) -> tuple[Array, Array | None]:
        for pool in layer.before:
            x = pooled(x, pool)
        synapse = self.synapses[place]
        y = x if synapse is None else synapse.current(x)
        a, b = (rows[steps.start : steps.stop].astype(self.dtype) for rows in (layer.scale, layer.shift))
        z = a[:, None, None, None] * y + b[:, None, None, None]
        out, membrane = (z, None) if layer.neurons is None else fired(layer.neurons, z, steps, membrane)
        for pool in layer.after:
            out = pooled(out, pool)
        return out, membrane


class Synapse:
    """Weights as a matrix for the windows of a channels-last image, or for a whole one."""

    def __init__(self, weights: Weights, image: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        self.weights, values = weights, weights.values.astype(dtype)
        if weights.is_convolution:
            rows = np.moveaxis(values, 1, -1).reshape(weights.groups, -1, math.prod(values.shape[1:]))
        else:  # its weights are in C, H, W order, its input in H, W, C
            rows = np.moveaxis(values.reshape(len(values), *image), 1, -1).reshape(1, len(values), -1)
        self.matrices = np.ascontiguousarray(rows.swapaxes(1, 2))  # [groups, kh kw Cin, Cout]
        self.bias = None if weights.bias is None else weights.bias.astype(dtype)

    def current(self, x: Array) -> Array:
        """Return ``[S, B, H', W', C']``."""
        steps, batch = x.shape[:2]
        if self.weights.is_convolution:
            y = self._convolved(x.reshape(-1, *x.shape[2:]))
        else:
            y = (x.reshape(steps * batch, -1) @ self.matrices[0])[:, None, None]
        if self.bias is not None:
            y = y + self.bias
        return y.reshape(steps, batch, *y.shape[1:])

    def _convolved(self, images: Array) -> Array:
        w, (kh, kw) = self.weights, self.weights.values.shape[2:]
        images = np.pad(images, ((0, 0), (w.padding[0],) * 2, (w.padding[1],) * 2, (0, 0)))
        reach = (w.dilation[0] * (kh - 1) + 1, w.dilation[1] * (kw - 1) + 1)
        windows = sliding_window_view(images, reach, (1, 2))
        windows = windows[:, :: w.stride[0], :: w.stride[1], :, :: w.dilation[0], :: w.dilation[1]]
        count, rows, columns, channels = windows.shape[:4]
        windows = windows.transpose(0, 1, 2, 4, 5, 3)  # [N, H', W', kh, kw, Cin]
        out = np.empty((count, rows, columns, len(w.values)), images.dtype)
        at_once = max(1, MOST_COLUMNS // (rows * columns * kh * kw * channels))
        ins, outs = channels // w.groups, len(w.values) // w.groups
        for first in range(0, count, at_once):
            part = windows[first : first + at_once]
            for group, matrix in enumerate(self.matrices):
                laid = part[..., group * ins : (group + 1) * ins].reshape(-1, len(matrix))
                told = (laid @ matrix).reshape(len(part), rows, columns, outs)
                out[first : first + at_once, ..., group * outs : (group + 1) * outs] = told
        return out


def fired(neurons: Neurons, z: Array, steps: range, membrane: Array | None) -> tuple[Array, Array]:
    """Return the spikes of some steps of input ``[S, B, H, W, C]``, and the membrane after them."""
    spikes = np.empty_like(z)
    u = np.zeros(z.shape[1:], z.dtype) if membrane is None else membrane
    tables = [table.astype(z.dtype) for table in neurons.tables().values()]
    for number, t in enumerate(steps):
        leak, sign, threshold, amount = (table[t if len(table) > 1 else 0] for table in tables)
        m = leak * u + z[number] if neurons.rule == "after" else leak * u
        tested = m if neurons.rule == "after" else u
        spikes[number] = fires = sign * tested > threshold
        u = np.where(fires, m - amount if neurons.reset == "soft" else z.dtype.type(0), m)  # not infinity times 0
        if neurons.rule == "before":
            u = u + z[number]
    return spikes, u


def pooled(x: Array, pool: Pool) -> Array:
    """Return a pooled image, ``[S, B, H, W, C]``."""
    down, across = pool.size
    rows, columns = x.shape[2] // down, x.shape[3] // across
    windows = x[:, :, : rows * down, : columns * across].reshape(*x.shape[:2], rows, down, columns, across, x.shape[4])
    if pool.kind == "max":
        return np.asarray(windows.max((3, 5)))
    return np.asarray(windows.sum((3, 5)) / x.dtype.type(down * across))
