"""How to compute: one frozen choice, checked where it is made. It changes what is computed in rounding alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

if TYPE_CHECKING:  # recipes know these words without waiting for torch
    from torch import Tensor

BackendName = Literal["auto", "reference", "cpu", "triton"]
"""``"reference"`` is plain PyTorch; ``"cpu"`` the fused C++ kernels, ``"triton"`` the fused kernels for GPUs: all
blocks on them, or an error. ``"auto"``: the C++ kernels for every block that they know, where the input is on the
processor, and plain PyTorch for the rest. Triton's must be asked for by name: nobody has proven them on a GPU yet."""
Events = Literal["measured", "fixed", "never"]
"""When a layer goes event-driven: below the crossover that is measured on this machine; by a fixed rule, the same in
every run; or never. See :mod:`bntt.engine.crossover`."""
Recompute = Literal["auto", "never"] | int
"""Whether a backward pass finds the currents and spikes of all time steps (``"never"``), or computes them again so many
steps at a time; ``"auto"`` does that where memory would not suffice, and never where sums are added up over processes:
what is free may differ between them. See :mod:`bntt.engine.graph.spans`."""
Precision = Literal["fp32", "bf16-grad", "bf16"]
"""Of the products of weights and spikes. ``"fp32"``; ``"bf16-grad"``: the forward pass as in fp32, dense gradients in
bfloat16, factors and products; ``"bf16"``: forward products too, and currents and gradients lie in memory as bfloat16.
Statistics, membranes and sums over chunks are float32 in all, and so is the sum that an event-driven product is."""
KernelName = Literal["cpu", "triton"]
"""Whose kernels: C++ on the processor, or Triton on a GPU (in Triton's interpreter also on the processor)."""
Reduce = Callable[["Tensor"], "Tensor"]
"""The sum over all processes of a float64 tensor, which it may write over."""


@dataclass(frozen=True)
class Compute:
    """What a network computes with, and how much it keeps.

    The first four are words that a recipe may say. ``reduce`` is not: it connects processes that train one network on
    parts of a batch, and makes batch statistics those of the whole. It is called once in the forward pass and once in
    the backward pass for every layer under batch statistics (and every span of steps that are kept together), in an
    order that depends on nothing but layers, steps and ``recompute``. Gradients of γ and β stay those of the part.

    Raises:
        ValueError: on a word that is none of these, or two that exclude each other.

    >>> Compute(backend="cpu", recompute=5).kernels
    'cpu'
    """

    backend: BackendName = "auto"
    events: Events = "measured"
    recompute: Recompute = "auto"
    precision: Precision = "fp32"
    reduce: Reduce | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        choices: dict[str, Any] = {"backend": BackendName, "events": Events, "precision": Precision}
        for name, words in choices.items():
            if (value := getattr(self, name)) not in (known := get_args(words)):
                raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
        if self.reduce is not None and not callable(self.reduce):
            raise ValueError(f"reduce must be a function of a tensor, got {self.reduce!r}")
        steps = self.recompute
        if steps not in ("auto", "never") and not (type(steps) is int and steps > 0):
            raise ValueError(f"recompute must be 'auto', 'never' or a number of steps, 1 or more, got {steps!r}")
        if self.backend == "reference" and self.precision != "fp32":
            raise ValueError(
                f"precision {self.precision!r} is the kernels' own, and backend 'reference' is plain PyTorch: "
                f"use precision 'fp32', or another backend"
            )
        if self.backend == "reference" and type(steps) is int:
            raise ValueError(
                f"recompute={steps} is the kernels' own, and backend 'reference' is plain PyTorch, which keeps all "
                f"steps: leave it out, or use another backend"
            )

    @property
    def kernels(self) -> KernelName:
        """Whose kernels blocks run on where they are fused."""
        return "triton" if self.backend == "triton" else "cpu"

    @property
    def insists(self) -> bool:
        """Whether a block that cannot be fused is an error: it would not have the backend or precision asked for."""
        return self.backend in ("cpu", "triton") or self.precision != "fp32"
