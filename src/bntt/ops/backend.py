"""Which implementations of a layer there are, and which of them may run here. Nothing ever switches in silence:
``"auto"`` takes the fast path layer by layer where it can, a name takes that path or raises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from bntt.ops._cpu import library
from bntt.ops.event_conv import Precision

BackendName = Literal["auto", "reference", "cpu"]
"""``"reference"`` is plain PyTorch, ``"cpu"`` the fused C++ kernels, ``"auto"`` the best of both for every layer."""


class BackendError(RuntimeError):
    """A backend that cannot do what it was asked for; the message says why."""


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself (AVX-512 BF16 or AMX); emulated, they would be slow."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def require_precision(precision: str) -> None:
    """Check that a precision of the products (:data:`bntt.ops.event_conv.Precision`) can be had here.

    Raises:
        BackendError: saying why not.

    >>> require_precision("fp32")
    """
    if precision not in (known := get_args(Precision)):
        raise BackendError(f"unknown precision {precision!r}: choose one of {', '.join(known)}")
    if precision != "fp32" and not has_bf16():
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
    reference = Backend("reference", True, "plain PyTorch, any device and dtype")
    if library.LIBRARY is None:
        return [reference, Backend("cpu", False, library.REASON)]
    others = ", ".join(library.variants()[:-1])
    detail = f"fused C++ kernels, float32, using {library.use_variant()}" + (f" (also: {others})" if others else "")
    detail += "; precision fp32, bf16-grad, bf16" if has_bf16() else "; precision fp32 (no bfloat16 arithmetic here)"
    return [reference, Backend("cpu", True, detail)]


def require(name: str) -> None:
    """Check that a backend can run here.

    Raises:
        BackendError: saying why it cannot.

    >>> require("reference")
    """
    known = {backend.name: backend for backend in backends()}
    if name != "auto" and name not in known:
        raise BackendError(f"unknown backend {name!r}: choose one of auto, {', '.join(known)}")
    if name != "auto" and not known[name].available:
        raise BackendError(f"backend {name!r} cannot run here: {known[name].detail}")
