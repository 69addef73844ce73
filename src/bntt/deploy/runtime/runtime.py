"""Run a bundle: all steps in one call, step by step, or until each sample is certain. Nothing here needs PyTorch."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from bntt.deploy.bundle import read
from bntt.deploy.description import Array, Description, Layer, require
from bntt.deploy.runtime.arrays import IN_TIME, Arrays, Noise, arranged, encode, noise_of, pictures_of, samples_of
from bntt.deploy.runtime.kernels import Kernels
from bntt.engine.cpu import library
from bntt.io.pictures import read_picture

DType = Literal["float32", "float64"]
BackendName = Literal["auto", "numpy", "kernels"]
Criterion = Literal["confidence", "margin", "entropy"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)
MOST_SAMPLES = 64
"""Most samples that run at once."""
STEPS_AT_ONCE = 25
"""Most steps that run at once."""
MOST_AT_ONCE = 1 << 29
"""Most values of the largest node over all samples and steps that run at once: a large network runs fewer samples."""
MOST_THREADS = 1024
EVALUATION = 1 << 32
"""The first draw of the library's evaluations, :data:`bntt.analysis.accuracy.evaluation.FIRST_DRAW`."""


class Answers(NamedTuple):
    """A network's answers for samples that stopped individually.

    >>> Answers(np.zeros((2, 10)), np.array([3, 8])).steps
    array([3, 8])
    """

    logits: Array
    """``[B, K]``, after the step at which each sample stopped."""
    steps: Array
    """Number of steps that each took, ``[B]``."""


@dataclass(frozen=True, eq=False)
class State:
    """A batch after some steps; a runtime never modifies it.

    >>> state = State(1, (np.zeros((3, 1, 1, 2)), None), np.arange(3)[:, None], noise_of(0, 0, None, 3))
    >>> state.rows(np.array([True, False, True])).total.ravel(), state.rows([2]).noise.index
    (array([0, 2]), array([2]))
    """

    steps: int
    """Number of steps taken."""
    membranes: tuple[Array | None, ...]
    """Each node's membranes after the reset, ``[B, H, W, C]``; None for a node without neurons."""
    total: Array
    """Sum of the readout's values so far, ``[B, K]``."""
    noise: Noise
    """Keys of the samples' random numbers."""

    @property
    def batch(self) -> int:
        """Number of samples."""
        return len(self.total)

    def rows(self, keep: Any) -> State:
        """Return the state of some samples, for example of the unfinished ones.

        Args:
            keep: a mask ``[B]`` or indices.
        """
        chosen = np.asarray(keep)
        membranes = tuple(None if one is None else one[chosen] for one in self.membranes)
        return replace(self, membranes=membranes, total=self.total[chosen], noise=self.noise.rows(chosen))


class Runtime:
    """Run a network from a bundle, in evaluation mode, without PyTorch.

    Args:
        bundle: the file, or a description.
        dtype: "float32"; or "float64" (only in NumPy), which gives the same spikes as the library in float64.
        backend: "kernels" (compiled, float32), "numpy", or "auto": the kernels if they can run. Products of NumPy may
            round differently with another number of steps or samples in a call.
        threads: number of threads of the kernels, 1 to 1024.

    Attributes:
        description: the content of the bundle: ``classes``, ``num_steps``, ``provenance`` and all else.
        backend: what runs it, "numpy" or "kernels".

    Raises:
        BundleError: if the file is missing, damaged or hostile.
        DeployError: if it cannot run as requested; the message says why.

    >>> import tempfile, bntt
    >>> from bntt import deploy
    >>> path = Path(tempfile.mkdtemp()) / "clothes.safetensors"
    >>> made = deploy.export(bntt.models.pretrained(), path)
    >>> runtime = Runtime(path)
    >>> images = bntt.data.fashion_mnist_bundled().test.images[[333, 555]].numpy() / np.float32(255)
    >>> runtime.run(images, seed=0).argmax(1)
    array([7, 1])
    """

    def __init__(
        self,
        bundle: str | Path | Description,
        dtype: DType = "float32",
        backend: BackendName = "auto",
        threads: int = 1,
    ) -> None:
        made = bundle if isinstance(bundle, Description) else read(Path(bundle))
        for name, value, known in (("dtype", dtype, get_args(DType)), ("backend", backend, get_args(BackendName))):
            require(value in known, f"{name} must be one of {', '.join(known)}, got {value!r}")
        fits = type(threads) is int and 1 <= threads <= MOST_THREADS
        require(fits, f"threads must be a whole number from 1 to {MOST_THREADS}, got {threads!r}")
        self.description, self.dtype = made, np.dtype(dtype)
        reason = "they are float32" if dtype == "float64" else library.REASON if library.LIBRARY is None else ""
        fits = backend != "kernels" or not reason
        require(fits, f"the kernels cannot run here: {reason}; take backend='numpy'")
        self.backend = "numpy" if backend == "numpy" or reason else "kernels"
        self._threads = 0 if self.backend == "numpy" else threads
        self._network: Any = Kernels(made, threads) if self._threads else Arrays(made, self.dtype)
        pairs = zip(made.nodes, made.shapes, strict=True)
        self._shapes = tuple(
            (height, width, channels) if isinstance(node, Layer) and node.neurons is not None else None
            for node, ((channels, height, width), _) in pairs
        )

    @property
    def num_steps(self) -> int:
        """T."""
        return self.description.num_steps

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.description.classes

    def read(self, path: str | Path, *, invert: bool = False) -> tuple[Array, tuple[str, ...]]:
        """Read an image file as images were read in the network's training.

        The image is converted to the mode and size of the network's input; its EXIF orientation is applied.

        Args:
            invert: take the negative, for pictures that are dark on light if the network learned light on dark.

        Returns:
            its sample ``[1, ...]``, and what was done to the picture, in words.

        Raises:
            DataError: naming the file, if it cannot be read as a picture.
            DeployError: if the bundle does not say how a picture becomes a sample.
        """
        how = pictures_of(self.description)
        pixels, changes = read_picture(Path(path), how.shape, fit=how.fit, invert=invert)
        return arranged(pixels[None].astype(np.float32) / np.float32(255), how.order), changes

    def run(self, x: Any, *, seed: int = 0, index: Any = None, draw: int = 0, steps: int | None = None) -> Array:
        """Return logits ``[B, K]`` after all steps, or after the first ``steps`` of them.

        Args:
            x: samples as the library's encoder takes them: images ``[B, C, H, W]`` in [0, 1], frames or sequences
                ``[B, T, ...]``.
            seed, index, draw: select the noise: equal values give the same spikes as in the library.

        Raises:
            TypeError: if the samples are not floating point.
            DeployError: if they do not fit the network.
        """
        total = self.num_steps if steps is None else steps
        fits = type(total) is not bool and isinstance(total, int | np.integer) and 1 <= total <= self.num_steps
        require(fits, f"steps must be a whole number from 1 to {self.num_steps}, got {total!r}")
        parts = self._parts(x, seed, index, draw)
        return np.concatenate([self._advance(*part, None, range(total))[0][-1] for part in parts])

    def trace(self, x: Any, *, seed: int = 0, index: Any = None, draw: int = 0) -> Array:
        """Return logits after each step, ``[T, B, K]``; see :meth:`run`."""
        parts = self._parts(x, seed, index, draw)
        return np.concatenate([self._advance(*part, None, range(self.num_steps))[0] for part in parts], 1)

    def step(
        self, x: Any, state: State | None = None, *, seed: int | None = None, index: Any = None, draw: int | None = None
    ) -> tuple[Array, State]:
        """Take one step and return ``(logits [B, K] so far, state)``; T calls in a row give the result of :meth:`run`.

        Args:
            x: images, the same in every step; of frames and sequences this step's, ``[B, C, H, W]`` or ``[B, F]``.
            state: the state that the last step returned; None is rest; ``state.rows(keep)`` removes samples.
            seed, index, draw: in the first step as for :meth:`run`; later the state has them, and others are refused.

        Raises:
            TypeError: if the samples are not floating point.
            DeployError: if they do not fit the network or the state, or the state has taken all steps.
        """
        values = samples_of(self.description, x, self.dtype, whole=False)
        t, known = (0, None) if state is None else (state.steps, state.noise)
        if state is not None:
            batches = f"the state is of {state.batch} samples, got {len(values)}: select the same rows of both"
            require(state.batch == len(values), batches)
            shapes = tuple(None if one is None else one.shape[1:] for one in state.membranes)
            require(shapes == self._shapes, "the state is of another network: begin with state=None")
        noise = noise_of(seed, draw, index, len(values), known)
        require(t < self.num_steps, f"this state has taken all {t} steps: begin the next samples with state=None")
        values = values[:, None] if self.description.encoder.kind in IN_TIME else values
        logits, state = self._advance(values, noise, state, range(t, t + 1))
        return logits[0], state

    def exit_step(self, threshold: float) -> int:
        """Return the number of steps to run by γ: up to the last at which a layer's mean |γ| reaches the threshold.

        Steps whose γ has no path from the input to the readout do not count. If no mean reaches it: 1, with a warning.

        Raises:
            DeployError: on an invalid threshold, or a network without a γ for each step.
        """
        require(0 <= threshold < math.inf, f"an exit threshold must be 0 or above, in units of γ, got {threshold}")
        large, layers = np.zeros(self.num_steps, bool), 0
        for layer in self.description.layers:
            first, last = layer.driven
            if layer.gamma is not None and first < last:
                large[first:last] |= layer.gamma[first:last].astype(np.float32) >= np.float32(threshold)
                layers += 1
        require(layers, "no layer has a γ for each step that reaches the readout, from which an exit is read")
        if not large.any():
            warnings.warn(
                f"no mean |γ| reaches the exit threshold {threshold:g} at any step: stopping after 1; take a lower one",
                stacklevel=2,
            )
        return int(large.nonzero()[0].max(initial=0)) + 1

    def answer(
        self, x: Any, criterion: Criterion, threshold: float, *, seed: int = 0, index: Any = None, draw: int = 0
    ) -> Answers:
        """Run each sample until it is certain: samples whose certainty reaches the threshold leave the batch.

        Args:
            criterion: "confidence", "margin" or "entropy", see :func:`bntt.deploy.runtime.runtime.certainty`.
            x, seed, index, draw: as for :meth:`run`.

        Raises:
            TypeError, DeployError: as for :meth:`run`, or on a threshold that is negative or not a number.
        """
        require(threshold >= 0, f"a threshold of certainty must be 0 or above, got {threshold}")
        parts = [self._answered(*part, criterion, threshold) for part in self._parts(x, seed, index, draw)]
        return Answers(*map(np.concatenate, zip(*parts, strict=True)))

    def _answered(self, values: Array, noise: Noise, criterion: Criterion, threshold: float) -> Answers:
        logits = np.empty((len(values), len(self.classes)), self.dtype)
        taken, alive, state = np.zeros(len(values), np.int64), np.arange(len(values)), None
        for t in range(self.num_steps):
            (logits[alive],), state = self._advance(values[alive], noise, state, range(t, t + 1))
            taken[alive] = t + 1
            stays = certainty(logits[alive], criterion) < threshold
            alive, state = alive[stays], state.rows(stays)
            noise = state.noise
            if not len(alive):
                break
        return Answers(logits, taken)

    def _parts(self, x: Any, seed: int, index: Any, draw: int) -> list[tuple[Array, Noise]]:
        """Return the samples that run at once, with their noise."""
        values = samples_of(self.description, x, self.dtype, whole=True)
        noise = noise_of(seed, draw, index, len(values))
        sizes = (self.description.image, *(neurons for neurons, _ in self.description.shapes))
        largest = max(map(math.prod, sizes))
        most = MOST_AT_ONCE // (min(self.num_steps, STEPS_AT_ONCE) * largest)
        size = max(1, min(MOST_SAMPLES, most))
        parts = [slice(first, first + size) for first in range(0, len(values), size)]
        return [(values[part], noise.rows(part)) for part in parts]

    def _advance(self, values: Array, noise: Noise, state: State | None, steps: range) -> tuple[Array, State]:
        """Take some steps, a few at once: logits after each, ``[S, B, K]``, and the state."""
        logits = []
        for first in range(steps.start, steps.stop, STEPS_AT_ONCE):
            part = range(first, min(steps.stop, first + STEPS_AT_ONCE))
            timed = self.description.encoder.kind in IN_TIME and values.shape[1] > 1
            own = values[:, part.start : part.stop] if timed else values
            x = encode(self.description, own, noise, part, self._threads)
            y, membranes = self._network.advance(x, part, None if state is None else state.membranes)
            total = np.cumsum(y if state is None else np.concatenate([state.total[None], y]), 0)[-len(part) :]
            state = State(part.stop, membranes, total[-1], noise)
            logits.append(total / np.arange(part.start + 1, part.stop + 1, dtype=self.dtype)[:, None, None])
        assert state is not None
        return np.concatenate(logits), state


def certainty(logits: Array, criterion: Criterion) -> Array:
    """Compute the certainty of each sample, from 0 to 1, with p the softmax of its logits ``[B, K]``.

    ``confidence``: the largest p. ``margin``: the largest p minus the second. ``entropy``: 1 + Σ p ln p / ln K.
    """
    require(criterion in CRITERIA, f"unknown criterion {criterion!r}: choose one of {', '.join(CRITERIA)}")
    shifted = logits - logits.max(1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    p = np.exp(logs)
    ordered = np.sort(p, 1)
    sure: Array = ordered[:, -1]
    if p.shape[1] > 1 and criterion == "entropy":
        sure = np.clip(1 + (p * logs).sum(1) / math.log(p.shape[1]), 0, 1)  # rounding
    elif p.shape[1] > 1 and criterion == "margin":
        sure = sure - ordered[:, -2]
    return sure
