"""What is used of PyTorch that PyTorch does not promise, in one place; each has a test that says what breaks."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module


def processor_has_bf16() -> bool:
    """Whether the processor multiplies bfloat16 numbers itself (AVX-512 BF16 or AMX)."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def being_traced() -> bool:
    """Whether ``torch.jit.trace`` records what is done.

    >>> being_traced()
    False
    """
    return bool(torch._C._get_tracing_state())


def being_watched() -> bool:
    """Whether a mode sees every operation of PyTorch's, such as a ``FlopCounterMode``.

    >>> being_watched()
    False
    """
    return torch._C._len_torch_dispatch_stack() > 0


def being_transformed() -> bool:
    """Whether forward-mode differentiation or a function transform (``torch.func``) is on.

    >>> being_transformed()
    False
    """
    return forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack() is not None


def keeps_graph() -> bool:
    """In a backward pass: whether it was asked to keep the graph for another one."""
    return bool(torch._C._autograd._get_current_graph_task_keep_graph())


def has_global_hooks() -> bool:
    """Whether somebody wants to see what goes through every module.

    >>> has_global_hooks()
    False
    """
    return bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]


def has_hooks(module: torch.nn.Module) -> bool:
    """Whether somebody wants to see what goes through a module."""
    return any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks))
