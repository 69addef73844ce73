"""The compiled kernels of ``kernels.h`` through ctypes: plain pointers, so one build serves every torch version."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_double, c_float, c_int, c_int32, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

VARIANTS = ("portable", "avx2", "avx512")
INTERFACE = 1
"""``BNTT_INTERFACE`` of ``kernels.h``: a library with another number would misread the calls."""
FILES = ("kernels.so", "kernels.dylib", "kernels.dll", "kernels.*.so")
"""The library's name on Linux, macOS and Windows, and in a checkout that was built before it had a plain one."""
MISSING = (
    "the kernels were not compiled: take a wheel for this platform, or get a C++17 compiler (g++ or clang++) and "
    "install bntt again with BNTT_REQUIRE_KERNELS=1 set, which reports what fails"
)
OTHER = "the compiled kernels are of another version of bntt ({}): build them again"


def _fields(**of_type: tuple[Any, str]) -> Any:
    """Return the fields of a structure: ``(type, "name name ...")`` in order."""
    return [(name, kind) for kind, names in of_type.values() for name in names.split()]


@cache
def _door() -> Any:
    """Import the check of tensors only for tensors: callers with addresses of arrays need no PyTorch."""
    from bntt.engine.workspace import address

    return address


class Job(Structure):
    """A structure that a kernel is called with: numbers, and pointers to buffers, which it keeps alive."""

    def __init__(self, **values: Any) -> None:
        super().__init__()
        self.held: list[Any] = []
        self.give(**values)

    def give(self, **values: Any) -> None:
        """Set fields: numbers as they are, buffers as their addresses."""
        for name, value in values.items():
            if type(value) is tuple:
                self.held.append(value[0])
                value = _door()(value, name)
            setattr(self, name, value)


class Scan(Job):
    """``BnttScan``."""

    _fields_ = _fields(
        affine=(c_void_p, "current mean scale shift"),
        neuron=(c_void_p, "leak sign threshold amount per_threshold surrogate_first"),
        inputs=(c_void_p, "membrane counts fired grad_spikes"),
        step=(c_int64, "grad_step"),
        backward=(c_void_p, "inverse sum_grad sum_product sum_leak offset slope grad_current carry"),
        sizes=(c_int64, "neuron_step steps images height width channels window_height window_width"),
        numbers=(c_double, "grad_scale surrogate_second"),
        switches=(c_int32, "fire_before hard_reset surrogate threads bf16"),
    )

    @classmethod
    def over(cls, shape: Sequence[int], window: Sequence[int], **values: Any) -> Scan:
        """Return the job for a current ``[S, B, H, W, C]`` whose spikes are counted by windows, with other fields."""
        sizes = dict(zip(("steps", "images", "height", "width", "channels"), shape, strict=True))
        return cls(**sizes, window_height=window[0], window_width=window[1], **values)


class Rectify(Job):
    """``BnttRectify``."""

    _fields_ = _fields(
        forward=(c_void_p, "current mean scale shift out"),
        backward=(c_void_p, "grad inverse sums grad_current"),
        sizes=(c_int64, "images height width channels window_height window_width"),
        numbers=(c_float, "floor worth"),
        switches=(c_int32, "threads batch"),
    )


class Events(Job):
    """``BnttEvents``."""

    _fields_ = _fields(
        pointers=(c_void_p, "counts weight bias out grad_out grad_weight"),
        sizes=(c_int64, "images height width in_channels out_channels kernel_height kernel_width pad_height pad_width"),
        more=(c_int64, "stride_height stride_width largest_count"),
        numbers=(c_double, "scale"),
        switches=(c_int32, "threads"),
    )

    @classmethod
    def over(
        cls,
        shape: Sequence[int],
        kernel: Sequence[int],
        padding: Sequence[int] = (0, 0),
        stride: Sequence[int] = (1, 1),
        **values: Any,
    ) -> Events:
        """Return the job for spikes ``[S, B, H, W, C]`` and a convolution, with other fields."""
        sizes = {"images": shape[0] * shape[1], "height": shape[2], "width": shape[3], "in_channels": shape[4]}
        pairs = {"kernel": kernel, "pad": padding, "stride": stride}
        sizes |= {
            f"{name}_{side}": pair[i] for name, pair in pairs.items() for i, side in enumerate(("height", "width"))
        }
        return cls(**sizes, **values)


class Winograd(Job):
    """``BnttWinograd``."""

    _fields_ = _fields(
        pointers=(c_void_p, "grad weight out work"),
        sizes=(c_int64, "images height width in_channels out_channels"),
        switches=(c_int32, "threads"),
    )


_ARGUMENTS: dict[str, tuple[Any, list[Any]]] = {
    "bntt_interface": (c_int, []),
    "bntt_variants": (c_int, []),
    "bntt_use_openmp": (None, [c_void_p]),
    "bntt_use_variant": (c_int, [c_int]),
    "bntt_moments": (c_int, [c_void_p, c_int64, c_int64, c_int64, c_void_p, c_void_p, c_void_p, c_int32, c_int32]),
    "bntt_scan_forward": (c_int, [POINTER(Scan)]),
    "bntt_scan_sums": (c_int, [POINTER(Scan)]),
    "bntt_scan_backward": (c_int, [POINTER(Scan)]),
    "bntt_rectify": (c_int, [POINTER(Rectify)]),
    "bntt_rectify_backward": (c_int, [POINTER(Rectify)]),
    "bntt_packed_size": (c_int64, [POINTER(Events)]),
    "bntt_pack": (c_int, [POINTER(Events), c_void_p, c_void_p]),
    "bntt_events_forward": (c_int, [POINTER(Events)]),
    "bntt_events_weight_grad": (c_int, [POINTER(Events)]),
    "bntt_unpack": (c_int, [c_void_p, c_void_p, c_int64, c_double, c_int32]),
    "bntt_poisson": (c_int, [c_void_p, c_void_p, c_void_p, c_int64, c_int64, c_int64, c_int64, c_int32, c_int32]),
    "bntt_winograd_room": (c_int64, [POINTER(Winograd)]),
    "bntt_winograd_pack": (c_int, [POINTER(Winograd), c_void_p, c_void_p]),
    "bntt_winograd_input_grad": (c_int, [POINTER(Winograd)]),
}


def _open() -> tuple[Any, str]:
    """Open the library; return None and the reason if it cannot be opened."""
    path = next((path for name in FILES for path in Path(__file__).parent.glob(name)), None)
    if path is None:
        return None, MISSING
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        return None, f"the compiled kernels do not load: {error}"
    for name, (result, arguments) in _ARGUMENTS.items():
        function = getattr(library, name, None)
        if function is None:
            return None, OTHER.format(f"{name} is missing")
        function.restype, function.argtypes = result, arguments
    if (number := library.bntt_interface()) != INTERFACE:
        return None, OTHER.format(f"interface {number}, not {INTERFACE}")
    return library, ""


LIBRARY, REASON = _open()
"""The library or None, and why it is None."""


def variants() -> list[str]:
    """List variants this processor can run; the last is the one in use unless :func:`use_variant` says otherwise."""
    mask = LIBRARY.bntt_variants() if LIBRARY is not None else 0
    return [name for bit, name in enumerate(VARIANTS) if mask >> bit & 1]


def packed_size(job: Events) -> int:
    """Return how many floats a layer's weights take, packed for the event-driven kernels."""
    return int(LIBRARY.bntt_packed_size(byref(job)))


def winograd_room(job: Winograd) -> int:
    """Return how many floats of memory each thread needs for an input gradient by Winograd."""
    return int(LIBRARY.bntt_winograd_room(byref(job)))


def use_variant(name: str | None = None) -> str:
    """Use one instruction set from now on, in this process; None only queries the one in use."""
    return VARIANTS[LIBRARY.bntt_use_variant(-1 if name is None else VARIANTS.index(name))]


def use_openmp(entry: int | None) -> None:
    """Work in the threads of an OpenMP runtime, given its ``GOMP_parallel``; None: in threads of the kernels' own."""
    if LIBRARY is not None:
        LIBRARY.bntt_use_openmp(entry)


def call(function: str, *arguments: Any) -> None:
    """Call a kernel with numbers, buffers and jobs, all of which live until it returns."""
    given = []
    for one in arguments:
        if type(one) is tuple:
            one = _door()(one, f"an argument of {function}")
        given.append(byref(one) if isinstance(one, Job) else one)
    if getattr(LIBRARY, function)(*given) != 0:
        raise MemoryError(f"{function} could not allocate its working memory")
