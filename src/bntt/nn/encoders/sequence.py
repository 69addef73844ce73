"""Sequences as they come: at every step its values, normalised, are what drives the first layer."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from bntt.nn.encoders.encoder import check_values, steps_of, whole_steps
from bntt.nn.encoders.pixels import channel_scales
from bntt.nn.tensor_checks import check_tensor


class SequenceEncoder(nn.Module):
    """Sequences ``[B, T, F]``, batch first, become currents ``[S, B, F]``, time first: ``(x - mean) / std``.

    Nothing is random, and gradients pass. Frames of events have :class:`~bntt.nn.FrameEncoder`.

    Args:
        num_steps: T, exactly as many as the sequences have.
        mean, std: of the training sequences, one number for all features or one a feature; both or neither (then the
            values go in as they are).

    Raises:
        ValueError: if ``num_steps`` is below 1, or mean and std are not finite numbers, std above 0.

    >>> import torch
    >>> encoder = SequenceEncoder(num_steps=3, mean=0.5, std=0.25)
    >>> encoder(torch.tensor([[[0.5], [0.75], [1.0]]]), steps=range(1, 3)).flatten()
    tensor([1., 2.])
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        num_steps: int,
        *,
        mean: Sequence[float] | float | Tensor | None = None,
        std: Sequence[float] | float | Tensor | None = None,
    ) -> None:
        super().__init__()
        self.num_steps = whole_steps(num_steps)
        for name, rows in zip(("mean", "std"), channel_scales(mean, std), strict=True):
            self.register_buffer(name, None if rows is None else rows.flatten())

    def forward(
        self,
        sequences: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
        steps: range | None = None,
        compact: bool = False,
    ) -> Tensor:
        """All steps, or some; the rest of a call changes nothing.

        Raises:
            TypeError: if the sequences are no tensor, or not floating point.
            ValueError: if they are not ``[B, T, F]`` with the encoder's T, not finite, or of other features.
        """
        wanted = steps_of(steps, self.num_steps)
        check_tensor(sequences, "the encoder", "sequences [B, T, F]")
        if sequences.ndim != 3 or sequences.shape[1] != self.num_steps:
            raise ValueError(
                f"sequences must be [B, T, F] with the encoder's T = {self.num_steps} steps, got shape "
                f"{list(sequences.shape)}: cut them, or make encoder and network for their T"
            )
        x = sequences[:, wanted.start : wanted.stop]  # only these are looked at: of many steps some at a time
        check_values(x, "sequences")
        x = x.transpose(0, 1)
        if self.mean is None or self.std is None:
            return x
        if len(self.mean) not in (1, x.shape[2]):
            raise ValueError(f"mean and std have {len(self.mean)} features, the sequences have {x.shape[2]}")
        return (x - self.mean) / self.std

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"
