"""Gaussian noise on images, the same for every network: an encoder that wraps an encoder."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from bntt.nn.encoders.encoder import Encoder, PixelEncoder
from bntt.nn.kinds import EncoderFacts, encoder_facts
from bntt.nn.network.call import index_of
from bntt.ops.random import Purpose, normal, sample_keys


class NoisyEncoder(nn.Module):
    """Encode ``x + σ n`` instead of every image x, n standard normal; the encoder's own randomness stays.

    The n of a pixel depends only on (seed, draw, index) of the image: it is the same at all time steps and for every
    encoder, network, batch and σ. The draw is the call's; the seed is an argument, as the call's differs between runs.
    Clean images must be in [0, 1]. Gradients pass where nothing was clipped. With σ = 0 the bits are the encoder's.

    Args:
        encoder: the encoder of the noisy image, any encoder of pixels.
        sigma: σ, finite, 0 or more.
        where: the unit of σ: "pixels", in [0, 1], or "normalized", the encoder's ``std`` of each channel.
        clip: cut the noisy image to [0, 1].
        seed: seed of the noise, 0 to 2**63 - 1.

    Raises:
        TypeError: if it is not an encoder of images.
        ValueError: on an invalid σ, where or seed, deviations that the encoder lacks, or the unsigned code unclipped.

    >>> from bntt.nn import PoissonEncoder
    >>> encoder = NoisyEncoder(PoissonEncoder(num_steps=4, mean=[0.3], std=[0.2]), sigma=0.1)
    >>> encoder(torch.zeros(2, 1, 8, 8), draw=3).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    def __init__(
        self, encoder: Encoder, sigma: float, *, where: str = "pixels", clip: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(encoder, PixelEncoder):
            raise TypeError(f"noise is for images: it needs an encoder of pixels, got {type(encoder).__name__}")
        for fits, why in (
            (math.isfinite(sigma) and sigma >= 0, f"sigma must be a finite number, 0 or more, got {sigma}"),
            (where in ("pixels", "normalized"), f"where must be one of pixels, normalized, got {where!r}"),
            (where == "pixels" or encoder.std is not None, "the encoder has no mean and std: choose where='pixels'"),
            (
                clip or getattr(encoder, "signed", True),
                "unsigned rate coding takes pixels from 0 to 1, which unclipped noise leaves: take clip=True",
            ),
        ):
            if not fits:
                raise ValueError(why)
        sample_keys(seed, Purpose.NOISE, 0, torch.arange(0))  # refuses an invalid seed
        self.encoder, self.sigma, self.where, self.clip, self.seed = encoder, float(sigma), where, clip, seed

    @property
    def facts(self) -> EncoderFacts:
        """Facts about the inner encoder; random also if σ is above 0."""
        inner = encoder_facts(self.encoder)
        return replace(inner, random=inner.random or self.sigma > 0, estimated=False)

    @property
    def num_steps(self) -> int:
        """T of the inner encoder."""
        return self.encoder.num_steps

    def forward(self, images: Tensor, *, index: Tensor | None = None, draw: int = 0, **call: Any) -> Tensor:
        """Encode clean images; ``seed`` is for the inner encoder's own randomness."""
        x = self.normalized(images, index=index, draw=draw)
        return self.encoder.spikes(x, index=index, draw=draw, **call)

    def normalized(self, images: Tensor, *, index: Tensor | None = None, draw: int = 0) -> Tensor:
        """Return the images with their noise, normalised as the encoder does it; clean ones are checked first."""
        clean, encoder = self.encoder.normalized(images), self.encoder
        if self.sigma == 0:
            return clean
        keys = sample_keys(self.seed, Purpose.NOISE, draw, index_of(index, len(images), images.device))
        noise = self.sigma * normal(keys, *images.shape[1:]).to(images.dtype)
        noisy = images + (noise if self.where == "pixels" or encoder.std is None else encoder.std * noise)
        if self.clip:
            return encoder.normalized(noisy.clamp(0, 1))
        return noisy if encoder.mean is None or encoder.std is None else (noisy - encoder.mean) / encoder.std

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}, where={self.where!r}, clip={self.clip}, seed={self.seed}"
