"""Which implementations of a layer there are, and which of them may run here. Nothing ever switches in silence:
``"auto"`` takes the fast path layer by layer where it can, a name takes that path or raises."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, get_args

import torch

from bntt.ops._cpu import library
from bntt.ops.event_conv import Precision

BackendName = Literal["auto", "reference", "cpu", "triton"]
"""``"reference"`` is plain PyTorch, ``"cpu"`` the fused C++ kernels, ``"auto"`` the best of both for every layer.
``"triton"``, the kernels for GPUs, must be asked for by name: nobody has proven them on a GPU yet."""


class BackendError(RuntimeError):
    """A backend that cannot do what it was asked for; the message says why."""


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself (AVX-512 BF16 or AMX); emulated, they would be slow."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def require_precision(precision: str, device: str | torch.device | None = "cpu") -> None:
    """Check that a precision of the products (:data:`bntt.ops.event_conv.Precision`) can be had on a device.

    Args:
        device: None only checks the name.

    Raises:
        BackendError: saying why not.

    >>> require_precision("fp32")
    """
    if precision not in (known := get_args(Precision)):
        raise BackendError(f"unknown precision {precision!r}: choose one of {', '.join(known)}")
    if precision == "fp32" or device is None:
        return
    device = torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise BackendError(f"precision {precision!r} cannot be had here: this GPU has no bfloat16; use 'fp32'")
    if device.type == "cpu" and not has_bf16():
        raise BackendError(
            f"precision {precision!r} cannot be had here: this processor has no bfloat16 arithmetic (AVX-512 BF16 or "
            f"AMX); use 'fp32'"
        )


@dataclass(frozen=True)
class Backend:
    """One implementation."""

    name: str
    available: bool
    detail: str
    """What it uses, or why it cannot run."""


def backends() -> list[Backend]:
    """All implementations, whether they can run here, and why not.

    >>> backends()[0].name
    'reference'
    """
    return [make() for make in _MAKERS.values()]


def find_backend(name: str) -> Backend:
    """One implementation by its name.

    >>> find_backend("reference").available
    True
    """
    return _MAKERS[name]()


def _reference() -> Backend:
    return Backend("reference", True, "plain PyTorch, any device and dtype")


def _cpu() -> Backend:
    if library.LIBRARY is None:
        return Backend("cpu", False, library.REASON)
    others = ", ".join(library.variants()[:-1])
    detail = f"fused C++ kernels, float32, using {library.use_variant()}" + (f" (also: {others})" if others else "")
    detail += "; precision fp32, bf16-grad, bf16" if has_bf16() else "; precision fp32 (no bfloat16 arithmetic here)"
    return Backend("cpu", True, detail)


def _triton() -> Backend:
    """Triton takes a second to load, so it is only looked for."""
    if find_spec("triton") is None:
        return Backend("triton", False, "the package triton is not installed")
    unproven = "checked in Triton's interpreter, never run on a GPU by its authors: compare with 'reference' first"
    if torch.cuda.is_available():
        return Backend("triton", True, f"Triton kernels on {torch.cuda.get_device_name()}; {unproven}")
    if os.environ.get("TRITON_INTERPRET") == "1":
        return Backend("triton", True, "Triton kernels in Triton's interpreter on the processor, to test them; slow")
    return Backend("triton", False, f"Triton kernels need a CUDA GPU, or TRITON_INTERPRET=1 to test them; {unproven}")


_MAKERS = {"reference": _reference, "cpu": _cpu, "triton": _triton}


def require(name: str, device: str | torch.device | None = None) -> None:
    """Check that a backend can run here, and on a device if one is given.

    Raises:
        BackendError: saying why it cannot.

    >>> require("reference")
    """
    if name == "auto":
        return
    if name not in _MAKERS:
        raise BackendError(f"unknown backend {name!r}: choose one of auto, {', '.join(_MAKERS)}")
    if not (found := find_backend(name)).available:
        raise BackendError(f"backend {name!r} cannot run here: {found.detail}")
    if device is not None and name != "reference" and torch.device(device).type != (wanted := device_of(name)):
        raise BackendError(f"backend {name!r} runs on {wanted}, not on {device}")


def device_of(name: str) -> str:
    """The kind of device that a backend's kernels run on; Triton's interpreter is only for where there is no GPU.

    >>> device_of("cpu")
    'cpu'
    """
    return "cuda" if name == "triton" and torch.cuda.is_available() else "cpu"
