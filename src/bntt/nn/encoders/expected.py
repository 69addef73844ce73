"""What rate coding says on average, as real numbers: what an ANN is trained on before it is converted."""

from __future__ import annotations

from torch import Tensor

from bntt.nn.encoders.pixels import PerChannel, StillEncoder, check_rates
from bntt.ops.poisson import expectation


class ExpectedEncoder(StillEncoder):
    """The expected spikes of :class:`~bntt.nn.PoissonEncoder` (:func:`~bntt.ops.poisson.expectation`), the same
    at every step, without a copy. Gradients pass.

    Args:
        num_steps: T; 1 for an ANN.
        signed, mean, std: as the Poisson encoder's.

    Raises:
        ValueError: if ``num_steps`` is below 1, or mean and std are not one finite number a channel, std above 0.

    >>> import torch
    >>> ExpectedEncoder(1, mean=[0.5], std=[0.25])(torch.tensor([[[[0.5, 0.75, 1.0]]]])).flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, num_steps: int, *, signed: bool = True, mean: PerChannel = None, std: PerChannel = None) -> None:
        super().__init__(num_steps, mean=mean, std=std)
        self.signed = signed

    def held(self, x: Tensor) -> Tensor:
        """The expected spikes of what is normalised already.

        Raises:
            TypeError: if x is not floating point.
            ValueError: if it is not finite; or not from 0 to 1 where the code is unsigned.
        """
        check_rates(x, self.signed)
        return expectation(x, self.signed)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, signed={self.signed}"
