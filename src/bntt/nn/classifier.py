"""From pixels to logits: normalise, encode, run the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bntt.engine.private import has_global_hooks
from bntt.nn.call import noise_of
from bntt.nn.encoder import DirectEncoder, PoissonEncoder
from bntt.nn.network import STEPS_AT_ONCE, SpikingNetwork
from bntt.nn.plan import Plan
from bntt.nn.state import NetworkState
from bntt.nn.trace import Trace, evaluating
from bntt.nn.untouched import why_touched


class SpikingClassifier(nn.Module):
    """An encoder and a network that classify images with pixels in [0, 1].

    Args:
        encoder: ``PoissonEncoder`` or ``DirectEncoder``.
        network: what the encoded images drive.
        mean, std: per channel, of the training images; both or neither (then the encoder sees the pixels as they are).

    >>> from bntt.models import mlp
    >>> net = nn.Sequential()  # any SpikingNetwork; here a fully connected one on 2x2 pixels
    >>> net = mlp(in_features=4, hidden=(8,), num_classes=3, num_steps=5)
    >>> model = SpikingClassifier(PoissonEncoder(num_steps=5), net, mean=[0.5], std=[0.25])
    >>> model(torch.rand(2, 1, 2, 2), seed=0, draw=7).shape
    torch.Size([2, 3])
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        encoder: PoissonEncoder | DirectEncoder,
        network: SpikingNetwork,
        *,
        mean: Sequence[float] | float | Tensor | None = None,
        std: Sequence[float] | float | Tensor | None = None,
    ) -> None:
        super().__init__()
        if network.num_steps not in (None, encoder.num_steps):
            raise ValueError(
                f"the encoder has num_steps={encoder.num_steps} and the network num_steps={network.num_steps}: "
                f"they must agree"
            )
        self.encoder, self.network = encoder, network
        self.register_buffer("mean", _per_channel("mean", mean))
        self.register_buffer("std", _per_channel("std", std))
        if (self.mean is None) != (self.std is None) or (
            self.mean is not None and self.std is not None and len(self.mean) != len(self.std)
        ):
            raise ValueError(f"mean and std come together, one number a channel, got mean={mean} and std={std}")
        if self.std is not None and not (self.std > 0).all():
            raise ValueError(f"std must be above 0 in every channel, got {std}")

    def forward(
        self,
        images: Tensor,
        *,
        seed: int = 0,
        index: Int[Tensor, " B"] | None = None,
        draw: int = 0,
    ) -> Float[Tensor, "B K"]:
        """Logits after all T steps. The same ``seed``, ``index`` and ``draw`` give the same spikes.

        Args:
            images: ``[B, C, H, W]``, floating point, pixels in [0, 1].
            seed: of the run.
            index: each sample's place in its dataset, int64; 0..B-1 when left away.
            draw: which noise: pass the step or epoch in training, the repetition in evaluation.

        Raises:
            TypeError: if the images are not floating point.
            ValueError: if they are not ``[B, C, H, W]``, not finite, or not within [0, 1].
        """
        logits: Tensor = self.network(self._encode(self._normalize(images), seed, index, draw))
        return logits

    def advance(
        self,
        images: Tensor,
        state: NetworkState | None = None,
        *,
        steps: int = 1,
        seed: int | None = None,
        index: Int[Tensor, " B"] | None = None,
        draw: int | None = None,
    ) -> tuple[Float[Tensor, "S B K"], NetworkState]:
        """The next steps of the same images from a state: the encoder draws them, the network advances by them.

        The state carries seed, draw and index, and ``state.rows(keep)`` selects them too, so that a sample keeps its
        own noise when others leave the batch; give the images of those that stay.

        Args:
            images: as :meth:`forward`'s; of the samples that the state holds.
            state: None is rest, else what the last call returned.
            steps: S, how many.
            seed, index, draw: as :meth:`forward`'s at rest; later they may be left away.

        Returns:
            ``(logits, state)``, see :meth:`~bntt.nn.network.SpikingNetwork.advance`.

        Raises:
            ValueError: if the noise is another than the state's, or the steps lie beyond the encoder's.

        >>> from bntt.models import mlp
        >>> model = SpikingClassifier(PoissonEncoder(6), mlp(in_features=4, hidden=(8,), num_steps=6)).eval()
        >>> logits, state = model.advance(torch.rand(3, 1, 2, 2), steps=4, draw=7)
        >>> logits.shape, state.noise.draw
        (torch.Size([4, 3, 10]), 7)
        """
        x, first = self._normalize(images), 0 if state is None else state.steps
        noise = noise_of(None if state is None else state.noise, len(x), seed, draw, index)
        drawn = self._encode(x, noise.seed, noise.index, noise.draw, range(first, first + steps))
        return self.network.advance(drawn, state, seed=noise.seed, draw=noise.draw, index=noise.index)

    def trace(
        self,
        images: Tensor,
        *,
        seed: int = 0,
        index: Int[Tensor, " B"] | None = None,
        draw: int = 0,
    ) -> Trace:
        """Logits and spike counts at every step, measured in evaluation mode; see :class:`~bntt.nn.trace.Trace`."""
        with evaluating(self):  # before anything is decided: more norms are fused there than in training
            x = self._normalize(images)
            total = self.encoder.num_steps
            if why_touched(self.encoder) or has_global_hooks():
                return self.network.trace(self._encode(x, seed, index, draw))
            plan = self.network.plan((total, *x.shape))
            some = 1 if plan.reason else STEPS_AT_ONCE
            parts = (range(first, min(total, first + some)) for first in range(0, total, some))
            return self.network.trace(self._encode(x, seed, index, draw, steps, plan) for steps in parts)

    def _encode(
        self,
        x: Tensor,
        seed: int,
        index: Tensor | None,
        draw: int,
        steps: range | None = None,
        plan: Plan | None = None,
    ) -> Tensor:
        """What drives the network: spikes in a byte each where its first layer takes them so."""
        encoder, here = self.encoder, x.dtype == torch.float32 and x.device.type == "cpu"
        plain = type(encoder) is PoissonEncoder and not why_touched(encoder) and not has_global_hooks()
        if plain and here and (plan or self.network.plan((encoder.num_steps, *x.shape))).takes_bytes:
            return encoder.as_bytes(x, seed=seed, index=index, draw=draw, steps=steps)  # type: ignore[operator]
        if steps is None:
            spikes: Tensor = encoder(x, seed=seed, index=index, draw=draw)
        elif plain or type(encoder) is DirectEncoder:
            spikes = encoder(x, seed=seed, index=index, draw=draw, steps=steps)
        else:  # an encoder of yours has its step form
            spikes = torch.stack([encoder.step(x, t, seed=seed, index=index, draw=draw) for t in steps])
        return spikes

    def _normalize(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            raise TypeError(f"images must be floating point with pixels in [0, 1], got {images.dtype}: divide by 255")
        if images.is_meta:
            raise TypeError("images on the meta device have no values")
        if images.ndim != 4 or images.numel() == 0:
            raise ValueError(f"images must be [B, C, H, W] with B >= 1, got shape {list(images.shape)}")
        low, high = images.detach().aminmax()
        if not (low >= 0 and high <= 1):  # written so that NaN fails
            wrong = ~((images >= 0) & (images <= 1)).flatten(1).all(1)
            raise ValueError(
                f"pixels must be finite and from 0 to 1, got {float(low):.4g} to {float(high):.4g}, "
                f"first in image {int(wrong.nonzero()[0])} of the batch: "
                f"scale them, and leave the normalisation to mean= and std="
            )
        if self.mean is None or self.std is None:
            return images
        if len(self.mean) != images.shape[1]:
            raise ValueError(f"mean and std have {len(self.mean)} channels, the images have {images.shape[1]}")
        return (images - self.mean) / self.std


def _per_channel(name: str, values: Sequence[float] | float | Tensor | None) -> Tensor | None:
    if values is None:
        return None
    rows = torch.as_tensor(values, dtype=torch.get_default_dtype()).detach().clone().reshape(-1, 1, 1)
    if not torch.isfinite(rows).all():
        raise ValueError(f"{name} must be finite in every channel, got {values}")
    return rows
