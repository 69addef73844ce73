"""Encoders that drive the first layer by real numbers: an image held still, or frames as they come. No randomness."""

from __future__ import annotations

from torch import Tensor, nn

from bntt.nn.encoders.encoder import check_values, steps_of, whole_steps
from bntt.nn.encoders.pixels import StillEncoder


class DirectEncoder(StillEncoder):
    """Direct coding: the same analog image drives the first layer at every step, without a copy. Gradients pass.

    Args:
        num_steps: T.
        mean, std: per channel, of the training images; both or neither (then the pixels go in as they are).

    Raises:
        ValueError: if ``num_steps`` is below 1, or mean and std are not one finite number a channel, std above 0.

    >>> import torch
    >>> DirectEncoder(num_steps=4)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    def held(self, x: Tensor) -> Tensor:
        """The values themselves.

        >>> import torch
        >>> DirectEncoder(num_steps=3).spikes(torch.tensor([[-2.0, 0.5]]), steps=range(1), seed=3)
        tensor([[[-2.0000,  0.5000]]])
        """
        check_values(x, "pixels")
        return x


class FrameEncoder(nn.Module):
    """Samples that have time in them already, batch first, become the network's input, time first. Gradients pass.

    Frames of events ``[B, T, C, H, W]`` or sequences ``[B, T, F]``, of any finite values of either sign, become
    ``[S, B, ...]`` without a copy. What they are scaled by is their dataset's: see :class:`bntt.data.FrameSet`.

    Args:
        num_steps: T, exactly as many as the samples have.

    Raises:
        ValueError: if ``num_steps`` is below 1.

    >>> import torch
    >>> FrameEncoder(num_steps=4)(torch.zeros(2, 4, 1, 8, 8), steps=range(3)).shape
    torch.Size([3, 2, 1, 8, 8])
    """

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = whole_steps(num_steps)

    def forward(
        self,
        frames: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
        steps: range | None = None,
        compact: bool = False,
    ) -> Tensor:
        """All steps, or some; the rest of a call changes nothing.

        Raises:
            TypeError: if the frames are not floating point.
            ValueError: if they are not ``[B, T, ...]`` with the encoder's T, or not finite.
        """
        wanted = steps_of(steps, self.num_steps)
        check_values(frames, "frames")
        if frames.ndim < 3 or frames.shape[1] != self.num_steps:
            raise ValueError(
                f"frames must be [B, T, ...] with the encoder's T = {self.num_steps} steps, such as [B, T, C, H, W] or "
                f"[B, T, F], got shape {list(frames.shape)}: bin them anew, or make encoder and network for their T"
            )
        return frames.transpose(0, 1)[wanted.start : wanted.stop]

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"
