"""Processes that train one network: a single one, or several started by torchrun, each on its part of every batch.

Batch statistics are summed in a process group of their own, so that they never come between DDP's buckets. DDP averages
the gradients. The few numbers that all processes must agree on go through a third group, in main memory on any device.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from bntt.doors import OldName
from bntt.engine.compute import Reduce

T = TypeVar("T")


class LostProcessError(RuntimeError):
    """Raised if another process has ended or cannot be reached."""


class _Sum:
    """Sum over processes while their groups are open; copies share it, and a pickled network has None in its place."""

    def __init__(self, groups: Mapping[str, dist.ProcessGroup]) -> None:
        self._groups = groups

    def __call__(self, sums: Tensor) -> Tensor:
        if not self._groups:  # closed: each process continues by itself
            return sums
        sums = sums.contiguous()
        dist.all_reduce(sums, group=self._groups["statistics"])
        return sums

    def __deepcopy__(self, memo: object) -> _Sum:
        return self

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


class Processes:
    """A training process by itself, or within :func:`~bntt.training.processes.joined_processes` one of several.

    Args:
        device: the device of this process.

    >>> import torch
    >>> alone = Processes()
    >>> alone.is_rank0, alone.count, alone.all_reduce_sum(torch.tensor([2.0])), alone.on_rank0(lambda: 3)
    (True, 1, tensor([2.]), 3)
    """

    rank = 0
    count = 1
    first, total = OldName("first", "is_rank0"), OldName("total", "all_reduce_sum")
    largest, joined = OldName("largest", "all_reduce_max"), OldName("joined", "all_gather")
    decided, given = OldName("decided", "on_rank0"), OldName("given", "broadcast")
    averaging, waiting = OldName("averaging", "wrap_ddp"), OldName("waiting", "no_sync")
    reduce: Reduce | None = None
    """Function that sums batch statistics: a network's ``Compute(reduce=)``."""

    def __init__(self, device: str = "cpu") -> None:
        self.device = device
        """Device of this process; on GPUs, each process has its own."""
        self._groups: dict[str, dist.ProcessGroup] = {}

    def join(self) -> Callable[[], None]:
        """Join torch's default group; return what leaves it: a group that outlives the interpreter may abort it."""
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._groups |= {"control": dist.new_group(backend="gloo"), "statistics": dist.new_group()}
        self.reduce = _Sum(self._groups)
        return self._groups.clear

    @property
    def is_rank0(self) -> bool:
        """True for the process that writes and prints."""
        return self.rank == 0

    def all_reduce_sum(self, values: Tensor) -> Tensor:
        """Return the sum over all processes of a tensor in main memory, which may be overwritten."""
        if self._groups:
            dist.all_reduce(values, group=self._groups["control"])
        return values

    def all_reduce_max(self, values: Tensor) -> Tensor:
        """Return the elementwise maximum over all processes."""
        if self._groups:
            dist.all_reduce(values, dist.ReduceOp.MAX, group=self._groups["control"])
        return values

    def all_gather(self, values: Tensor) -> Tensor:
        """Concatenate the rows of all processes in rank order; their counts may differ."""
        if not self._groups:
            return values
        rows: list[Any] = [None] * self.count
        dist.all_gather_object(rows, values, self._groups["control"])
        return torch.cat(rows)

    def on_rank0(self, work: Callable[[], T]) -> T:
        """Run work in the first process only, and send its result, which pickle can hold, or its error, to all."""
        if not self._groups:
            return work()
        told: list[Any] = ["", None]
        problem: Exception | None = None
        if self.is_rank0:
            try:
                told[1] = work()
            except Exception as error:
                problem, told[0] = error, str(error) or type(error).__name__
        dist.broadcast_object_list(told, 0, self._groups["control"])
        if told[0]:
            raise problem or LostProcessError(f"process 0 has stopped: {told[0]}")
        return told[1]  # type: ignore[no-any-return]

    def broadcast(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the first process's tensors in all processes, in main memory."""
        return self.on_rank0(lambda: {name: value.cpu() for name, value in tensors.items()})

    def wrap_ddp(self, module: nn.Module, *, all_learn: bool) -> nn.Module:
        """Return the module with the first process's tensors and averaged gradients; all parameters may have some."""
        if not self._groups:
            return module
        gpu = torch.device(self.device).type == "cuda"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`broadcast_buffers`")  # not every supported PyTorch has its new name
            return DistributedDataParallel(
                module,
                [torch.device(self.device)] if gpu else None,
                broadcast_buffers=False,  # running statistics are the same by construction
                find_unused_parameters=not all_learn,
            )

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        """Return a context in which backward passes of such a module add to this process's gradients only."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""Environment variables set by torchrun for each process, besides WORLD_SIZE."""


class LaunchError(ValueError):
    """Raised if the processes were not started as joint training requires."""


def own_device(device: str) -> str:
    """Return this process's device: the requested one, or with several GPU processes that of its LOCAL_RANK."""
    if not _are_many():
        return device
    if missing := [name for name in NEEDED if name not in os.environ]:
        raise LaunchError(f"WORLD_SIZE is above 1, but {', '.join(missing)} is missing: start them by torchrun")
    if ":" in device:
        raise LaunchError(f"of several processes each has a GPU of its own: device 'cuda', not {device!r}")
    return f"cuda:{os.environ['LOCAL_RANK']}" if device == "cuda" else device


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Yield the processes started by torchrun, joined within the block; if it started none, or one, a single one.

    They communicate through gloo on CPUs and NCCL on GPUs; each GPU belongs to one process, by LOCAL_RANK.

    Args:
        device: the requested device: "cpu" or "cuda".

    Raises:
        LaunchError: as :func:`own_device`.
        LostProcessError: within the block, if another process ended.

    >>> with joined_processes("cpu") as processes:
    ...     processes.count
    1
    """
    processes = Processes(own := own_device(device))
    if not _are_many():
        yield processes
        return
    gpu = torch.device(own).type == "cuda"
    if gpu:
        torch.cuda.set_device(own)
    try:
        dist.init_process_group("nccl" if gpu else "gloo")
        with ExitStack() as leaving:
            leaving.callback(dist.destroy_process_group)
            leaving.callback(processes.join())
            yield processes
    except RuntimeError as error:
        if not _is_of_the_connection(error):
            raise
        why = str(error).splitlines()[0][:200]
        raise LostProcessError(f"another process has ended or cannot be reached ({why})") from error


def _are_many() -> bool:
    return int(os.environ.get("WORLD_SIZE") or "1") > 1


def _is_of_the_connection(error: RuntimeError) -> bool:
    if type(error) is not RuntimeError:  # bntt's own errors name files, and a name may contain "gloo"
        return isinstance(error, dist.DistError)
    return "gloo" in str(error).lower() or "by peer" in str(error)


def check_share(loader: object, processes: Processes) -> None:
    """Refuse a loader that does not give a process its part of every batch: all of it, if there is one process."""
    wanted = (processes.rank, processes.count)
    if (found := getattr(loader, "share", None if processes.count > 1 else wanted)) != wanted:
        raise ValueError(
            f"process {processes.rank} of {processes.count} needs a loader of its part of every batch, share={wanted}; "
            f"its share is {found}"
        )
