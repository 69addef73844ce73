"""Sets of kernels: what each can do, which are available here, and why not. Nothing ever switches silently."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch

from bntt.engine.compute import Compute, KernelName, Precision
from bntt.engine.cpu import library
from bntt.engine.private import has_bf16 as has_bf16
from bntt.engine.private import openmp_entry

library.use_openmp(openmp_entry())  # threads of two pools would compete for the cores: PyTorch's spin while they wait


@cache
def open_kernels(name: KernelName) -> Any:
    """Return the module with this set's moments, scan and reverse scans, loaded when it is first asked for."""
    if name == "triton":
        from bntt.engine.triton import launch as triton_kernels

        return triton_kernels
    from bntt.engine.cpu import launch as cpu_kernels

    return cpu_kernels


class BackendError(RuntimeError):
    """Raised if a backend cannot do what was requested; the message says why."""


@dataclass(frozen=True)
class Backend:
    """One implementation."""

    name: str
    available: bool
    detail: str
    """Detail of what it uses, or the reason it cannot run."""


def backends() -> list[Backend]:
    """List all implementations, whether they can run here, and why not."""
    return [find_backend(name) for name in ("reference", "cpu", "triton")]


def find_backend(name: str) -> Backend:
    """Find one implementation by its name; Triton is not loaded for it, which takes a second."""
    if name == "reference":
        return Backend(name, True, "plain PyTorch, any device, float32 and float64")
    if name == "cpu" and library.LIBRARY is None:
        return Backend(name, False, library.REASON)
    if name == "cpu":
        others = ", ".join(one for one in library.variants() if one != library.use_variant())
        detail = f"fused C++ kernels, float32, using {library.use_variant()}" + (f" (also: {others})" if others else "")
        low = "fp32, bf16-grad, bf16" if has_bf16() else "fp32 (no bfloat16 arithmetic here)"
        return Backend(name, True, f"{detail}; precision {low}")
    assert name == "triton"
    if find_spec("triton") is None:
        return Backend(name, False, "the package triton is not installed")
    unproven = "checked in Triton's interpreter, never run on a GPU by its authors: compare with 'reference' first"
    if torch.cuda.is_available():
        return Backend(name, True, f"Triton kernels on {torch.cuda.get_device_name()}; {unproven}")
    if os.environ.get("TRITON_INTERPRET") == "1":
        return Backend(name, True, "Triton kernels in Triton's interpreter on the processor, to test them; slow")
    return Backend(name, False, f"Triton kernels need a CUDA GPU, or TRITON_INTERPRET=1 to test them; {unproven}")


def why_unavailable(kernels: KernelName) -> str:
    """Return why a set of kernels cannot run here; "" if it can. Every call of a network checks it."""
    found = None if kernels == "cpu" and library.LIBRARY is not None else find_backend(kernels)
    return "" if found is None or found.available else found.detail


def device_of(name: str) -> str:
    """Return the kind of device that a backend's kernels run on; Triton's interpreter is only used without a GPU."""
    return "cuda" if name == "triton" and torch.cuda.is_available() else "cpu"


def require(compute: Compute, device: str | torch.device | None = None) -> None:
    """Check that a choice is available here, and on a device if one is given."""
    if compute.backend != "auto":
        if not (found := find_backend(compute.backend)).available:
            raise BackendError(f"backend {compute.backend!r} cannot run here: {found.detail}")
        wanted = device_of(compute.backend)
        if device is not None and compute.backend != "reference" and torch.device(device).type != wanted:
            raise BackendError(f"backend {compute.backend!r} runs on {wanted}, not on {device}")
    require_precision(compute.precision, torch.device(device_of(compute.backend) if device is None else device))


def require_precision(precision: Precision, device: torch.device) -> None:
    """Check that products of a precision are available on a device."""
    if precision == "fp32":
        return
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise BackendError(f"precision {precision!r} is not available here: this GPU has no bfloat16; use 'fp32'")
    if device.type == "cpu" and not has_bf16():
        raise BackendError(
            f"precision {precision!r} is not available here: this processor has no bfloat16 arithmetic "
            f"(AVX-512 BF16 or AMX); use 'fp32'"
        )
