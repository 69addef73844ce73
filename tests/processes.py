"""Processes that share a batch, as threads that meet in every sum."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Processes:
    """As threads that meet in every sum; ``calls`` has the shapes that each of them brought, in order."""

    def __init__(self, count: int) -> None:
        self.calls: list[list[tuple[int, ...]]] = [[] for _ in range(count)]
        self._brought: list[Tensor] = [torch.empty(0)] * count
        self._barrier = threading.Barrier(count, timeout=60)

    def reduce_of(self, rank: int) -> Callable[[Tensor], Tensor]:
        def reduce(sums: Tensor) -> Tensor:
            assert sums.dtype == torch.float64
            self.calls[rank].append(tuple(sums.shape))
            self._brought[rank] = sums.clone()
            self._barrier.wait()
            total = torch.stack(self._brought).sum(0)
            self._barrier.wait()
            return sums.copy_(total)  # it may write over what it is given

        return reduce

    def run(self, work: Callable[[int, Callable[[Tensor], Tensor]], Any]) -> list[Any]:
        """``work(rank, reduce)`` of all, at the same time."""
        results: list[Any] = [None] * len(self.calls)
        errors: list[BaseException] = []

        def one(rank: int) -> None:
            try:
                results[rank] = work(rank, self.reduce_of(rank))
            except BaseException as error:
                errors.append(error)
                self._barrier.abort()

        threads = [threading.Thread(target=one, args=(rank,)) for rank in range(len(results))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]
        return results
