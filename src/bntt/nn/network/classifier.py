"""The classifier, from samples to logits: encode, then run the network."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from bntt.engine.private import has_global_hooks, has_hooks
from bntt.nn.call import NetworkState, Noise, evaluating, noise_of
from bntt.nn.encoders import Encoder, steps_of
from bntt.nn.network.measured import Measure, Trace
from bntt.nn.network.spiking_network import STEPS_AT_ONCE, SpikingNetwork
from bntt.nn.untouched import remember, why_touched


class SpikingClassifier(nn.Module):
    """An encoder and a network that classify the encoder's samples: images, frames of events, sequences.

    Args:
        encoder: ``PoissonEncoder``, ``DirectEncoder``, ``FrameEncoder``, or any :class:`~bntt.nn.Encoder`.
        network: driven by the encoded samples.

    Raises:
        TypeError: if the first is not an encoder, or the second not a network.
        ValueError: if encoder and network differ in their number of steps.

    >>> from bntt.models import mlp
    >>> from bntt.nn import PoissonEncoder
    >>> net = mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=5)  # a fully connected one on 2x2 pixels
    >>> model = SpikingClassifier(PoissonEncoder(num_steps=5, mean=[0.5], std=[0.25]), net)
    >>> model(torch.rand(2, 1, 2, 2), seed=0, draw=7).shape
    torch.Size([2, 3])
    """

    encoder: Encoder
    network: SpikingNetwork

    def __init__(self, encoder: Encoder, network: SpikingNetwork) -> None:
        super().__init__()
        if not isinstance(network, SpikingNetwork) or not isinstance(encoder, Encoder):
            raise TypeError(
                f"a SpikingClassifier is made of an Encoder and a SpikingNetwork, in this order, got "
                f"{type(encoder).__name__} and {type(network).__name__}"
            )
        _check_steps(encoder, network)
        self.encoder, self.network = encoder, network

    def forward(
        self,
        x: Tensor,
        *,
        seed: int = 0,
        index: Integer[Tensor, " B"] | None = None,
        draw: int = 0,
        steps: int | None = None,
    ) -> Float[Tensor, "B K"]:
        """Return logits ``[B, K]`` after all T steps. The same ``seed``, ``index`` and ``draw`` give the same spikes.

        Args:
            x: samples ``[B, ...]`` as the encoder takes them: images ``[B, C, H, W]`` with pixels in [0, 1], frames
                ``[B, T, C, H, W]``, sequences ``[B, T, F]``; floating point, frames also whole numbers (counts).
            seed: of the run.
            index: each sample's place in its dataset, int64; 0..B-1 by default.
            draw: number of the noise draw: pass the update or epoch in training, the repetition in evaluation.
            steps: stop after the first ``steps`` of the T steps, in training too; see
                :meth:`~bntt.nn.SpikingNetwork.forward`.

        """
        noise, total = noise_of(None, len(x), seed, draw, index), self.encoder.num_steps if steps is None else steps
        if steps is None:
            _check_steps(self.encoder, self.network)  # one of them may have been replaced
        at_once = total <= STEPS_AT_ONCE or torch.is_grad_enabled() or self._is_seen(inner=True)
        if at_once or any(part.training for part in self.network.modules()):
            drawn = self._encode(x, noise, range(total))
            out: Tensor = self.network(drawn, steps=total, seed=seed, draw=draw, index=index)
            return out
        logits, state = self.advance(x, steps=STEPS_AT_ONCE, seed=seed, draw=draw, index=index)
        while state.steps < total:
            logits, state = self.advance(x, state, steps=min(STEPS_AT_ONCE, total - state.steps), in_place=True)
        return logits[-1]

    def advance(
        self,
        x: Tensor,
        state: NetworkState | None = None,
        *,
        steps: int = 1,
        measure: Measure = Measure(),
        in_place: bool = False,
        seed: int | None = None,
        index: Integer[Tensor, " B"] | None = None,
        draw: int | None = None,
    ) -> tuple[Float[Tensor, "S B K"], NetworkState]:
        """Return ``(logits, state)`` after the next steps of the same samples from a state, which carries their noise.

        ``state.rows(keep)`` lets samples leave the batch; then pass only those that stay.

        Args:
            x: as :meth:`forward`'s; the samples that the state holds.
            state, measure, in_place: as :meth:`~bntt.nn.SpikingNetwork.advance`'s.
            steps: S, the number of steps.
            seed, index, draw: as :meth:`forward`'s for the first call; omit them later.

        """
        first = 0 if state is None else state.steps
        noise = noise_of(state, len(x), seed, draw, index)
        drawn = self._encode(x, noise, range(first, first + steps))
        return self.network.advance(drawn, state, measure=measure, in_place=in_place, seed=seed, draw=draw, index=index)

    def trace(
        self,
        x: Tensor,
        *,
        seed: int = 0,
        index: Integer[Tensor, " B"] | None = None,
        draw: int = 0,
        steps: int | None = None,
    ) -> Trace:
        """Return logits and spike counts at every step, in evaluation mode, of samples as :meth:`forward` takes them.

        >>> from bntt.models import mlp
        >>> from bntt.nn import PoissonEncoder
        >>> model = SpikingClassifier(PoissonEncoder(6), mlp(in_features=4, hidden=(8,), num_steps=6))
        >>> trace = model.trace(torch.rand(3, 1, 2, 2))
        >>> trace.logits.shape, trace.spikes["fc1"].shape
        (torch.Size([6, 3, 10]), torch.Size([6, 8]))
        """
        noise, total = noise_of(None, len(x), seed, draw, index), self.encoder.num_steps
        if steps is None:
            _check_steps(self.encoder, self.network)
        steps_of(None if steps is None else range(steps), total)
        with evaluating(self):  # before planning: more norms are fused in evaluation than in training
            return self.network.trace(self._parts(x, noise, steps or total), seed=seed, draw=draw, index=index)

    def _is_seen(self, *, inner: bool = False) -> bool:
        """Return True if a hook on the network (``inner``: or in it) or a method of its own sees its input."""
        hooked = has_global_hooks() or (inner and any(map(has_hooks, self.network.modules())))
        return hooked or bool(why_touched(self.network, SpikingNetwork))

    def _parts(self, x: Tensor, noise: Noise, total: int) -> Iterator[Tensor]:
        """Yield ``total`` steps, as many at a time as the network traces; one is encoded ahead, for its shape."""
        first = self._encode(x, noise, range(1))
        if self.network.plan((total, *first.shape[1:])).reason:
            yield first
            yield from (self._encode(x, noise, range(t, t + 1)) for t in range(1, total))
            return
        for t in range(0, total, STEPS_AT_ONCE):
            yield self._encode(x, noise, range(t, min(total, t + STEPS_AT_ONCE)))

    def _encode(self, x: Tensor, noise: Noise, steps: range) -> Shaped[Tensor, "S B *shape"]:
        """Encode the network's input: as one-byte spikes if it uses the CPU kernels and no hook would see them."""
        encoder, compute = self.encoder, self.network.compute
        hooked = (isinstance(encoder, nn.Module) and any(map(has_hooks, encoder.modules()))) or self._is_seen()
        compact = compute.backend != "reference" and compute.kernels == "cpu" and not hooked
        drawn = encoder(x, seed=noise.seed, index=noise.index, draw=noise.draw, steps=steps, compact=compact)
        if drawn.shape[:2] != (len(steps), len(x)):
            raise ValueError(
                f"the encoder, a {type(encoder).__name__}, must return [{len(steps)}, {len(x)}, ...] for {len(steps)} "
                f"steps of {len(x)} samples (its argument steps is {steps}), got {list(drawn.shape)}"
            )
        return drawn


remember(SpikingClassifier, SpikingNetwork)


def touched_parts(model: SpikingClassifier) -> dict[str, str]:
    """Return what a model does besides what its classes say, by the part's name: see :func:`why_touched`."""
    kinds = {"": SpikingClassifier, "network": SpikingNetwork}
    found = {name or "the classifier": why_touched(part, kinds.get(name)) for name, part in model.named_modules()}
    found["every module"] = "has a hook" * has_global_hooks()
    return {name: why for name, why in found.items() if why}


def _check_steps(encoder: Encoder, network: SpikingNetwork) -> None:
    if network.num_steps not in (None, encoder.num_steps):
        raise ValueError(
            f"the encoder has num_steps={encoder.num_steps} and the network num_steps={network.num_steps}: "
            f"they must agree"
        )


def check_classifier(model: object, verb: str) -> None:
    """Refuse anything that is not a classifier."""
    if isinstance(model, SpikingClassifier):
        return
    way = ": put an encoder before it" if isinstance(model, SpikingNetwork) else ""
    raise TypeError(f"{verb} a SpikingClassifier, got {type(model).__name__}{way}")


def check_answers(model: SpikingClassifier, taker: str) -> None:
    """Refuse anything but a classifier that answers as its parts do, without hooks or methods of its own."""
    check_classifier(model, taker)
    found = touched_parts(model)
    if place := next((name for name in ("the classifier", "network", "every module") if name in found), ""):
        raise TypeError(
            f"{taker} the answers after every step and calls neither classifier nor network as a whole, but {place} "
            f"{found[place]}"
        )


def check_network(value: object, taker: str, other: str = "") -> None:
    """Refuse anything that is not a network."""
    if not isinstance(value, SpikingNetwork):
        way = ": give its .network" if isinstance(value, SpikingClassifier) else ""
        raise TypeError(f"{taker}() takes a SpikingNetwork{other}, got {type(value).__name__}{way}")
