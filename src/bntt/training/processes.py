"""What a training asks of the processes that share it, answered for one process alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

from torch import Tensor, nn

from bntt.engine.compute import Reduce

T = TypeVar("T")


class LostProcessError(RuntimeError):
    """Another process has ended, or cannot be reached."""


class Processes:
    """One process that trains alone; :func:`~bntt.training.distributed.joined_processes` gives what answers the same
    questions for more.

    >>> import torch
    >>> alone = Processes()
    >>> alone.first, alone.count, alone.total(torch.tensor([2.0])), alone.decided(lambda: 3)
    (True, 1, tensor([2.]), 3)
    """

    rank = 0
    count = 1
    reduce: Reduce | None = None
    """Adds batch statistics up: a network's ``Compute(reduce=)``."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        """Where this one computes; of GPUs its own."""

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and prints."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """The sum over all processes of a tensor in main memory, which may be written over."""
        return values

    def largest(self, values: Tensor) -> Tensor:
        """The largest of all processes, of every element."""
        return values

    def joined(self, values: Tensor) -> Tensor:
        """The rows of all processes in the order of their ranks, as many as each has."""
        return values

    def decided(self, work: Callable[[], T]) -> T:
        """What the first process finds by this work, which JSON must hold: done there alone, and told to all.

        Raises:
            LostProcessError: in the others, if it raised there.
        """
        return work()

    def given(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The first process's tensors, in all."""
        return tensors

    def averaging(self, module: nn.Module, *, all_learn: bool) -> nn.Module:
        """The module, with the first one's parameters and buffers in all, and gradients that are their mean.

        Args:
            all_learn: whether every parameter gets a gradient in every pass; whether some do not costs a look.
        """
        return module

    def waiting(self, module: nn.Module) -> AbstractContextManager[None]:
        """Inside, backward passes of such a module add to gradients of this process alone."""
        return nullcontext()
