"""The choice of how to compute, frozen and checked when it is made. It changes results only by rounding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from bntt.registry import OptionError, check_options

if TYPE_CHECKING:  # recipes use these names without importing torch
    from torch import Tensor

BackendName = Literal["auto", "reference", "cpu", "triton"]
"""``"auto"``: for an input on the CPU, the C++ kernels for all blocks that they support; plain PyTorch for the rest."""
Events = Literal["measured", "fixed", "never"]
"""When a layer runs event-driven, see :mod:`bntt.engine.synapse`."""
Recompute = Literal["auto", "never"] | Annotated[int, Field(ge=1, json_schema_extra={"unit": "steps"})]
"""Recomputation in the backward pass; ``"auto"`` never does it if several processes share a batch: their free memory
may differ. See :mod:`bntt.engine.graph.stack`."""
Precision = Literal["fp32", "bf16-grad", "bf16"]
"""Precision of products of weights and spikes. ``"fp32"``; ``"bf16-grad"``: forward pass as in fp32, dense gradients in
bfloat16, factors and products; ``"bf16"``: forward products too, with currents and gradients stored as bfloat16.
Statistics, membranes and sums over chunks are always float32, and so is the sum of an event-driven product. ANNs have
the lower two with ``rectifiers="fused"`` only: their factors and products are bfloat16, what lies between two layers is
float32, and so is all of a pass that measures, which runs the modules."""
InputGrad = Literal["winograd", "direct"]
"""The dense gradient towards a convolution's input, see :mod:`bntt.engine.winograd`."""
Rectifiers = Literal["fused", "plain"]
"""The layers of an ANN on the processor, see :mod:`bntt.engine.graph.rectified`."""
KernelName = Literal["cpu", "triton"]
"""The kernels to use: C++ on the processor, or Triton on a GPU (in Triton's interpreter also on the processor)."""
Reduce = Callable[["Tensor"], "Tensor"]
"""The sum over all processes of a float64 tensor, which it may overwrite."""


@dataclass(frozen=True)
class ComputeOptions:
    """What a recipe can choose about how a network computes."""

    backend: BackendName = "auto"
    """Fused kernels where they can run ("auto"), plain PyTorch ("reference"), or only the kernels, else an error: on
    the CPU ("cpu"), or on a GPU ("triton", never run on one by the authors)."""
    events: Events = "measured"
    """When layers run event-driven: by the same rule in every run ("fixed"), by timing both ways, which may differ
    between two runs ("measured"), or "never"."""
    recompute: Recompute = "auto"
    """Whether the kernels keep the currents of all steps for the backward pass ("never"), or of this many steps at a
    time and compute them again; "auto" does so if memory would not suffice."""
    precision: Precision = "fp32"
    """Precision of the kernels' dense products: "bf16-grad" uses bfloat16 for gradients only, the spikes stay those of
    fp32; "bf16" uses it in the forward pass too, so that spikes may differ."""
    input_grad: InputGrad = "winograd"
    """How 3x3 convolutions compute the gradient towards their input in fp32: with a quarter of the products and twice
    the rounding of its 4x4 pixels, for shapes where it pays ("winograd"), or by PyTorch ("direct"), as attacks do with
    either: take this for gradients of pixels of your own, too."""

    rectifiers: Rectifiers = "fused"
    """How the layers of an ANN compute, with neuron = "relu" and backend "auto": with channels last and a kernel for
    norm, rectifier and pool ("fused"), or module by module ("plain")."""

    def __post_init__(self) -> None:
        check_options(self, ComputeOptions)
        if self.backend == "reference" and self.precision != "fp32":
            raise OptionError(
                "precision", f"{self.precision!r} needs the kernels, backend 'reference' is plain PyTorch"
            )
        if self.backend == "reference" and isinstance(self.recompute, int):
            raise OptionError("recompute", f"{self.recompute} needs the kernels, backend 'reference' is plain PyTorch")


@dataclass(frozen=True)
class Compute(ComputeOptions):
    """Choose the backend and precision that a network computes with, and how much of a pass it keeps.

    ``reduce`` connects processes that train one network on parts of a batch: it makes batch statistics those of the
    whole batch. It is never part of a recipe. For every layer with batch statistics (and every span of steps kept
    together) it is called once in the forward pass, and once in the backward pass if that reaches it, in an order that
    depends only on the layers, which of them learn, the steps and ``recompute``. Gradients of γ and β remain those of
    this process's part.

    Raises:
        ValueError: as :class:`ComputeOptions`, or if ``reduce`` is not callable.

    >>> Compute(backend="cpu", recompute=5).kernels
    'cpu'
    """

    reduce: Reduce | None = field(default=None, compare=False, repr=False, kw_only=True)
    """Function that sums a tensor over processes, ``tensor -> tensor`` of the same shape; None: one process."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reduce is not None and not callable(self.reduce):
            raise ValueError(f"reduce must be a function of a tensor, got {self.reduce!r}")

    @property
    def kernels(self) -> KernelName:
        """The kernels that fused blocks run on."""
        return "triton" if self.backend == "triton" else "cpu"

    @property
    def insists(self) -> bool:
        """True if a block that cannot be fused is an error: it would not have the backend or precision asked for."""
        return self.backend in ("cpu", "triton") or self.precision != "fp32"
