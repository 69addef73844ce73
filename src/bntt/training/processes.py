"""The processes that train one network: one alone, or many as torchrun starts them, each on its part of every batch.

Batch statistics are added up in a process group of their own, so that they never stand between DDP's buckets; gradients
are averaged by DDP; the few numbers that all must agree on go through a third group, in main memory on every device.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bntt.engine.compute import Reduce
from bntt.io.checkpoint import pack, unpack

T = TypeVar("T")


class LostProcessError(RuntimeError):
    """Another process has ended, or cannot be reached."""


class Processes:
    """One process that trains alone; :func:`~bntt.training.processes.joined_processes` gives what answers the same
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


NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun says to each process, beside WORLD_SIZE."""


class LaunchError(ValueError):
    """Processes that were not started as many that train one network must be."""


class _Several(Processes):
    def __init__(self, device: str) -> None:
        super().__init__(device)
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        groups: dict[str, dist.ProcessGroup] = {
            "control": dist.new_group(backend="gloo"),
            "statistics": dist.new_group(),
        }
        self._groups = groups

        def reduce(sums: Tensor) -> Tensor:  # a function, which copies of a network share
            sums = sums.contiguous()
            dist.all_reduce(sums, group=groups["statistics"])
            return sums

        self.reduce = reduce

    @property
    def _control(self) -> dist.ProcessGroup:
        return self._groups["control"]

    def close(self) -> None:
        """Let go of the groups: one that outlives the interpreter may end the process by SIGABRT as its threads go."""
        self._groups.clear()

    def total(self, values: Tensor) -> Tensor:
        dist.all_reduce(values, group=self._control)
        return values

    def largest(self, values: Tensor) -> Tensor:
        dist.all_reduce(values, dist.ReduceOp.MAX, group=self._control)
        return values

    def joined(self, values: Tensor) -> Tensor:
        rows = self.total(torch.eye(self.count, dtype=torch.int64)[self.rank] * len(values)).tolist()
        first = sum(rows[: self.rank])
        whole = values.new_zeros(sum(rows), *values.shape[1:])
        whole[first : first + len(values)] = values
        return self.total(whole)

    def decided(self, work: Callable[[], T]) -> T:
        if not self.first:
            told = json.loads(self._broadcast(b""))
            if told["error"]:
                raise LostProcessError(f"process 0 has stopped: {told['error']}")
            return told["value"]  # type: ignore[no-any-return]
        try:
            value = work()
        except Exception as error:
            self._broadcast(json.dumps({"error": str(error) or type(error).__name__}).encode())
            raise
        self._broadcast(json.dumps({"error": "", "value": value}).encode())
        return value

    def given(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        if not self.first:
            return unpack(self._broadcast(b""))
        self._broadcast(pack(tensors, {}))
        return tensors

    def averaging(self, module: nn.Module, *, all_learn: bool) -> nn.Module:
        gpu = torch.device(self.device).type == "cuda"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers`")  # its new name is not in every PyTorch of ours
            return DistributedDataParallel(
                module,
                [torch.device(self.device)] if gpu else None,
                broadcast_buffers=False,  # running statistics are the same by construction
                find_unused_parameters=not all_learn,
            )

    def waiting(self, module: nn.Module) -> AbstractContextManager[None]:
        assert isinstance(module, DistributedDataParallel)
        return module.no_sync()

    def _broadcast(self, payload: bytes) -> bytes:
        size = self.total(torch.tensor([len(payload)]))
        data = torch.frombuffer(bytearray(payload), dtype=torch.uint8) if payload else torch.empty(int(size)).byte()
        dist.broadcast(data, 0, group=self._control)
        return data.numpy().tobytes()


def own_device(device: str) -> str:
    """Where this process computes: what was asked for, of GPUs by many processes that of its LOCAL_RANK.

    Raises:
        LaunchError: if the many were not started by torchrun, or a GPU is named.

    >>> own_device("cpu")
    'cpu'
    """
    if not _are_many():
        return device
    if missing := [name for name in NEEDED if name not in os.environ]:
        raise LaunchError(
            f"WORLD_SIZE says that there are many processes, and {', '.join(missing)} is missing: "
            f"start them by torchrun"
        )
    if ":" in device:
        raise LaunchError(f"of many processes each has a GPU of its own: device 'cuda', not {device!r}")
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """The processes that torchrun started, within the block; one alone where it started none, or one.

    They meet through gloo on processors and NCCL on GPUs, each of which belongs to one process, by LOCAL_RANK.

    Args:
        device: what was asked for: "cpu" or "cuda".

    Raises:
        LaunchError: as :func:`own_device`.
        LostProcessError: within, where another process ended.

    >>> with joined_processes("cpu") as processes:
    ...     processes.count
    1
    """
    own = own_device(device)
    if not _are_many():
        yield Processes(own)
        return
    gpu = torch.device(own).type == "cuda"
    if gpu:
        torch.cuda.set_device(own)
    try:
        dist.init_process_group("nccl" if gpu else "gloo")
        several = _Several(own)
        yield several
        several.close()
        dist.destroy_process_group()
    except RuntimeError as error:
        if not _is_of_the_connection(error):
            raise
        raise LostProcessError(
            f"another process has ended or cannot be reached ({str(error).splitlines()[0][:200]})"
        ) from error


def _are_many() -> bool:
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def _is_of_the_connection(error: RuntimeError) -> bool:
    return isinstance(error, dist.DistError) or "gloo" in str(error).lower() or "by peer" in str(error)
