"""What is used of PyTorch that PyTorch does not promise, in one place; each has a test that says what breaks."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 numbers itself (AVX-512 BF16 or AMX); emulated, they would be slow."""
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


def being_overridden() -> bool:
    """Whether a mode gives PyTorch's functions another meaning. One that only says where new tensors go does not: what
    the kernels make says that itself.

    >>> with torch.device("cpu"):
    ...     being_overridden()
    False
    """
    modes = [torch._C._get_function_stack_at(i) for i in range(torch._C._len_torch_function_stack())]
    return any(not isinstance(mode, DeviceContext) for mode in modes)


def being_transformed() -> bool:
    """Whether forward-mode differentiation or a function transform (``torch.func``) is on.

    >>> being_transformed()
    False
    """
    return forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack() is not None


def is_mapped(tensor: torch.Tensor) -> bool:
    """Whether a tensor stands for many, one for each turn of ``torch.func.vmap``: its values cannot be looked at.

    >>> is_mapped(torch.ones(2))
    False
    """
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return True
        tensor = functorch.get_unwrapped(tensor)
    return False


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
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def parts_of(module: torch.nn.Module, name: str = "") -> list[tuple[str, torch.nn.Module, list[torch.Tensor]]]:
    """A module and all that it is made of, each with its own parameters and buffers: ``named_modules`` in a tenth of
    the time, which is asked of every block in every call.

    >>> [name for name, _, _ in parts_of(torch.nn.Sequential(torch.nn.ReLU()))]
    ['', '0']
    """
    own = (*module._parameters.values(), *module._buffers.values())
    found = [(name, module, [tensor for tensor in own if tensor is not None])]
    for key, child in module._modules.items():
        if child is not None:
            found += parts_of(child, f"{name}.{key}" if name else key)
    return found
