"""The compiled library: it is there, its variants run, and its absence is explained."""

import subprocess
import sys

import pytest
import torch

from bntt.ops._cpu import library
from tests.kernels import needs_kernels


@needs_kernels
def test_the_widest_instruction_set_is_used_and_another_can_be():
    names = library.variants()
    assert names[0] == "portable"
    assert library.use_variant() == names[-1]
    assert library.use_variant("portable") == "portable"
    assert library.use_variant(names[-1]) == names[-1]


@needs_kernels
def test_a_kernel_without_memory_says_so(monkeypatch):
    class Broken:
        @staticmethod
        def bntt_moments(*arguments):
            return 1

    monkeypatch.setattr(library, "LIBRARY", Broken)
    with pytest.raises(MemoryError, match="bntt_moments"):
        library.run("bntt_moments")


def test_without_the_compiled_file_everything_runs_and_says_why(tmp_path):
    code = (
        "import pathlib; exists = pathlib.Path.exists\n"
        "pathlib.Path.exists = lambda p: False if p.name.startswith('kernels.') else exists(p)\n"
        "import torch, bntt\n"
        "from bntt.ops.backend import backends, require, BackendError\n"
        "print(backends()[1].available, backends()[1].detail)\n"
        "net = bntt.models.mlp(num_steps=3); print(net(torch.ones(3, 2, 1)).shape)\n"
        "try: bntt.nn.SpikingNetwork({}, net.readout, backend='cpu')\n"
        "except BackendError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "False the kernels were not compiled: install bntt where a C++17 compiler" in done.stdout
    assert "torch.Size([2, 10])" in done.stdout
    assert "backend 'cpu' cannot run here" in done.stdout


@needs_kernels
def test_a_forked_child_and_two_python_threads_use_the_pool():
    code = (
        "import os, threading, torch\n"
        "torch.set_num_threads(2)\n"
        "from bntt.ops.norm_lif import moments\n"
        "x = torch.randn(4, 600, 2, 2, 16); want = moments(x)\n"
        "def check(): assert all(torch.equal(a, b) for a, b in zip(moments(x), want))\n"
        "threads = [threading.Thread(target=lambda: [check() for _ in range(50)]) for _ in range(3)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    check(); os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0; check()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_the_structures_are_as_large_as_the_headers():
    """A field too many or too few would shift all that follow it."""
    import ctypes

    assert ctypes.sizeof(library.Scan) == 15 * 8 + 8 * 8 + 5 * 8 + 5 * 4 + 4
    assert ctypes.sizeof(library.Events) == 6 * 8 + 10 * 8 + 8 + 8
    assert torch.get_num_threads() == 1
