"""From pixels to logits: normalise, encode, run the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from bntt.nn.encoder import DirectEncoder, PoissonEncoder
from bntt.nn.network import SpikingNetwork, Trace


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
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if network.num_steps not in (None, encoder.num_steps):
            raise ValueError(
                f"the encoder has num_steps={encoder.num_steps} and the network num_steps={network.num_steps}: "
                f"they must agree"
            )
        if (mean is None) != (std is None) or (mean is not None and std is not None and len(mean) != len(std)):
            raise ValueError(f"mean and std come together, one number a channel, got mean={mean} and std={std}")
        if std is not None and min(std) <= 0:
            raise ValueError(f"std must be above 0 in every channel, got {list(std)}")
        self.encoder, self.network = encoder, network
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, None if values is None else torch.tensor(values).reshape(-1, 1, 1))

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
        logits: Tensor = self.network(self.encoder(self._normalize(images), seed=seed, index=index, draw=draw))
        return logits

    def trace(
        self,
        images: Tensor,
        *,
        seed: int = 0,
        index: Int[Tensor, " B"] | None = None,
        draw: int = 0,
    ) -> Trace:
        """Logits and spike counts at every step, measured in evaluation mode; see :class:`~bntt.nn.network.Trace`."""
        x = self._normalize(images)
        steps = range(self.encoder.num_steps)
        return self.network.trace(self.encoder.step(x, t, seed=seed, index=index, draw=draw) for t in steps)

    def _normalize(self, images: Tensor) -> Tensor:
        if not images.is_floating_point():
            raise TypeError(f"images must be floating point with pixels in [0, 1], got {images.dtype}: divide by 255")
        if images.ndim != 4 or images.numel() == 0:
            raise ValueError(f"images must be [B, C, H, W] with B >= 1, got shape {list(images.shape)}")
        low, high = images.detach().aminmax()
        if not (low >= 0 and high <= 1):  # written so that NaN fails
            raise ValueError(
                f"pixels must be finite and from 0 to 1, got {float(low):.4g} to {float(high):.4g}: "
                f"scale them, and leave the normalisation to mean= and std="
            )
        if self.mean is None or self.std is None:
            return images
        if len(self.mean) != images.shape[1]:
            raise ValueError(f"mean and std have {len(self.mean)} channels, the images have {images.shape[1]}")
        return (images - self.mean) / self.std
