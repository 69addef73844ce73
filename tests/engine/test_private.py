"""What PyTorch does not promise still says what we take it to say."""

import shutil
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils.flop_counter import FlopCounterMode

from bntt.engine import private
from tests.preloaded import run_preloaded


@pytest.mark.skipif(sys.platform != "linux", reason="looked for on Linux")
def test_pytorchs_openmp_is_found():
    """PyTorch for Linux computes with GNU OpenMP, or one that has its entries."""
    assert private.openmp_entry()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux" or shutil.which("gcc") is None, reason="looked for on Linux; needs gcc")
def test_a_preloaded_openmp_is_pytorchs_too(tmp_path):
    """LD_PRELOAD=libiomp5.so is common advice for PyTorch on Intel's processors."""
    source = "void GOMP_parallel(void (*f)(void*), void* x, unsigned n, unsigned o) { f(x); }\n"
    code = (
        "import ctypes, os\n"
        "from bntt.engine.private import openmp_entry\n"
        "theirs = ctypes.CDLL(os.environ['LD_PRELOAD']).GOMP_parallel\n"
        "print(openmp_entry() == ctypes.cast(theirs, ctypes.c_void_p).value)\n"
    )
    done = run_preloaded(tmp_path, source, code)
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="reads Linux's list of the processor's features")
def test_tiles_are_what_linux_says_of_the_processor():
    assert private.has_tiles() == ("amx_tile" in Path("/proc/cpuinfo").read_text().split())


def test_a_trace_and_a_mode_that_watches_operations_are_seen():
    seen = []

    def watched(x: torch.Tensor) -> torch.Tensor:
        seen.append(private.being_traced())
        return x + 1

    with pytest.warns(DeprecationWarning, match="jit"):
        torch.jit.trace(watched, torch.ones(1), check_trace=False)
    assert seen == [True]
    assert not private.being_traced()
    with FlopCounterMode(display=False):
        assert private.being_watched()
    assert not private.being_watched()


def test_forward_mode_and_function_transforms_are_seen():
    seen = []
    with forward_ad.dual_level():
        seen.append(private.being_transformed())
    torch.func.vmap(lambda x: seen.append(private.being_transformed()) or x)(torch.ones(2))
    assert seen == [True, True]
    assert not private.being_transformed()


def test_a_backward_pass_knows_whether_its_graph_is_kept():
    seen = []

    class Watch(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            seen.append(private.keeps_graph())
            return grad

    out = Watch.apply(torch.ones(1, requires_grad=True))
    out.backward(retain_graph=True)
    out.backward()
    assert seen == [True, False]


def test_hooks_of_all_modules_and_of_one_are_seen_and_all_parts_are_named():
    layer = nn.Identity()
    assert not private.has_global_hooks()
    assert not private.has_hooks(layer)
    handle = register_module_forward_pre_hook(lambda module, args: None)
    assert private.has_global_hooks()
    handle.remove()
    layer.register_full_backward_hook(lambda module, inputs, outputs: None)
    assert private.has_hooks(layer)
    whole = nn.ModuleDict({"a": nn.Sequential(nn.BatchNorm1d(3), layer)})
    whole.register_module("nothing", None)
    parts = private.parts_of(whole)
    assert [(name, module) for name, module, _ in parts] == list(whole.named_modules())
    assert {id(one) for *_, own in parts for one in own} == {id(o) for o in (*whole.parameters(), *whole.buffers())}
