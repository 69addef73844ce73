"""All uses of private PyTorch features, in one place; each has a test that says what breaks."""

from __future__ import annotations

import torch
from torch.autograd import forward_ad
from torch.nn.modules import module as torch_module
from torch.utils._device import DeviceContext


def has_bf16() -> bool:
    """Return True if this processor multiplies bfloat16 natively (AVX-512 BF16 or AMX); emulation would be slow."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def being_traced() -> bool:
    """Return True while ``torch.jit.trace`` is recording.

    >>> being_traced()
    False
    """
    return bool(torch._C._get_tracing_state())


def being_watched() -> bool:
    """Return True if a mode sees every PyTorch operation, as ``FlopCounterMode`` does.

    >>> being_watched()
    False
    """
    return torch._C._len_torch_dispatch_stack() > 0


def being_overridden() -> bool:
    """Return True if a mode overrides PyTorch's functions. One that only says where new tensors go does not count:
    the kernels state the device of what they make themselves.

    >>> with torch.device("cpu"):
    ...     being_overridden()
    False
    """
    modes = [torch._C._get_function_stack_at(i) for i in range(torch._C._len_torch_function_stack())]
    return any(not isinstance(mode, DeviceContext) for mode in modes)


def being_transformed() -> bool:
    """Return True if forward-mode differentiation or a function transform (``torch.func``) is on.

    >>> being_transformed()
    False
    """
    return forward_ad._current_level >= 0 or torch._C._functorch.peek_interpreter_stack() is not None


def is_mapped(tensor: torch.Tensor) -> bool:
    """Return True if a tensor stands for many, one for each turn of ``torch.func.vmap``: its values are hidden.

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
    """Return True in a backward pass that was asked to keep the graph for another one."""
    return bool(torch._C._autograd._get_current_graph_task_keep_graph())


def has_global_hooks() -> bool:
    """Return True if a global hook observes every module.

    >>> has_global_hooks()
    False
    """
    return bool(torch_module._has_any_global_hook())  # type: ignore[no-untyped-call]


def has_hooks(module: torch.nn.Module) -> bool:
    """Return True if a hook observes a module."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    )


def parts_of(module: torch.nn.Module, name: str = "") -> list[tuple[str, torch.nn.Module, list[torch.Tensor]]]:
    """List a module and all its parts, each with its own parameters and buffers: ``named_modules`` in a tenth of
    the time, since every block does this in every call.

    >>> [name for name, _, _ in parts_of(torch.nn.Sequential(torch.nn.ReLU()))]
    ['', '0']
    """
    own = (*module._parameters.values(), *module._buffers.values())
    found = [(name, module, [tensor for tensor in own if tensor is not None])]
    for key, child in module._modules.items():
        if child is not None:
            found += parts_of(child, f"{name}.{key}" if name else key)
    return found
