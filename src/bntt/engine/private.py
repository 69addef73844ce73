"""All uses of private PyTorch features, in one place; each has a test that says what breaks."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext
from torch.utils._pytree import GetAttrKey, register_pytree_node
from torch.utils._pytree import tree_map as tree_map


def has_bf16() -> bool:
    """Return True if this processor multiplies bfloat16 natively (AVX-512 BF16 or AMX); emulation would be slow.

    False also if ``ONEDNN_MAX_CPU_ISA`` keeps oneDNN below AVX-512: PyTorch then adds products in bfloat16.
    """
    if os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper().startswith(("SSE", "AVX2")):
        return False
    return torch.cpu._is_avx512_bf16_supported() or has_tiles()


def has_tiles() -> bool:
    """Return True if this processor multiplies tiles of bfloat16 (AMX)."""
    return torch.cpu._is_amx_tile_supported()


def openmp_entry() -> int | None:
    """Return the address of ``GOMP_parallel`` in PyTorch's OpenMP runtime; None if there is none, or not on Linux."""
    if not sys.platform.startswith("linux"):
        return None
    for library in (None, "libtorch_cpu.so"):  # as the linker looks for it: a preloaded runtime comes first
        try:
            opened = ctypes.CDLL(library, mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
            return ctypes.cast(opened.GOMP_parallel, ctypes.c_void_p).value
        except (OSError, AttributeError):  # PyTorch under another name, or without OpenMP
            continue
    return None


def being_traced() -> bool:
    """Return True while ``torch.jit.trace`` is recording."""
    return bool(torch._C._get_tracing_state())


def being_watched() -> bool:
    """Return True if a mode sees every PyTorch operation, as ``FlopCounterMode`` does."""
    return torch._C._len_torch_dispatch_stack() > 0


def being_overridden() -> bool:
    """Return True if a mode overrides PyTorch's functions.

    A mode that only chooses the device of new tensors does not count: the kernels always name the device.
    """
    modes = [torch._C._get_function_stack_at(i) for i in range(torch._C._len_torch_function_stack())]
    return any(not isinstance(mode, DeviceContext) for mode in modes)


def being_transformed() -> bool:
    """Return True if forward-mode differentiation or a function transform (``torch.func``) is on."""
    return forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack() is not None


def is_mapped(tensor: torch.Tensor) -> bool:
    """Return True if a tensor is a batch of ``torch.func.vmap``: its values cannot be read."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


def keeps_graph() -> bool:
    """Return True in a backward pass that was asked to keep the graph for another one."""
    return bool(torch._C._autograd._get_current_graph_task_keep_graph())


def has_global_hooks() -> bool:
    """Return True if a global hook observes every module."""
    return bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]


def has_hooks(module: torch.nn.Module) -> bool:
    """Return True if a hook observes a module."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


class Made(NamedTuple):
    """What modules are made of, see :func:`fingerprint`."""

    own: list[object]
    """Their classes, attributes and parts, and the types of their tensors."""
    classes: list[object]
    """Everything that is in their classes, methods for example."""
    tensors: list[torch.Tensor | None]
    """Parameters and buffers."""


def fingerprint(module: torch.nn.Module) -> Made | None:
    """List what a module and all its parts are made of: any change of them changes the list."""
    modules: list[torch.nn.Module | None] = [module]
    own, classes, tensors = list[object](), list[object](), list[torch.Tensor | None]()
    for one in modules:  # its parts are added on the way
        if one is None:
            continue
        if has_hooks(one):
            return None
        attributes = one.__dict__
        own += attributes.values()
        if parts := attributes["_modules"]:
            own += parts.values()
            modules += parts.values()
        tensors += attributes["_parameters"].values()
        tensors += attributes["_buffers"].values()
    kinds = tuple(map(type, modules))
    own += kinds
    own += map(type, tensors)
    for kind in _lineage(kinds):
        classes += kind.__dict__.values()
    return Made(own, classes, tensors)


@lru_cache(32)
def _lineage(kinds: tuple[type, ...]) -> tuple[type, ...]:
    """Return these classes and all that they inherit from, each once."""
    return tuple(dict.fromkeys(base for kind in kinds for base in kind.__mro__ if base is not object))


def register_tree(
    kind: type, parts: Sequence[str], rest: Callable[[Any], tuple[Any, ...]], make: Callable[..., Any]
) -> None:
    """Register a class with ``torch.export`` and ``torch.func`` as a tree of tensors, and with ``torch.load``.

    ``parts`` are attributes that hold tensors, ``rest`` returns all else as numbers (an exported program is valid only
    for these), and ``make`` takes both.
    """

    def flatten(one: Any) -> tuple[list[Any], tuple[Any, ...]]:
        return [getattr(one, name) for name in parts], rest(one)

    def flatten_with_keys(one: Any) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        return [(GetAttrKey(name), getattr(one, name)) for name in parts], rest(one)

    register_pytree_node(
        kind,
        flatten,
        lambda found, context: make(*found, *context),
        serialized_type_name=f"{kind.__module__}.{kind.__qualname__}",
        to_dumpable_context=list,
        from_dumpable_context=tuple,
        flatten_with_keys_fn=flatten_with_keys,
    )
    torch.serialization.add_safe_globals([kind])


STANDARD = frozenset(vars(torch.nn.Module())) | {"_reversed_padding_repeated_twice"}
"""Attributes that every module has, and one of convolutions that pad with values other than zeros."""


def attributes_of(module: torch.nn.Module) -> Iterator[tuple[str, object]]:
    """Yield the attributes of a module and all its parts that are neither parts, parameters, buffers nor PyTorch's."""
    return ((name, value) for one in module.modules() for name, value in vars(one).items() if name not in STANDARD)


def parts_of(module: torch.nn.Module, name: str = "") -> list[tuple[str, torch.nn.Module, list[torch.Tensor]]]:
    """List a module and all its parts, each with its own parameters and buffers."""
    own = (*module._parameters.values(), *module._buffers.values())
    found = [(name, module, [tensor for tensor in own if tensor is not None])]
    for key, child in module._modules.items():
        if child is not None:
            found += parts_of(child, f"{name}.{key}" if name else key)
    return found
