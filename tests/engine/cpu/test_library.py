"""The compiled library: it is there, its variants run, and its absence is explained."""

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bntt.engine.cpu import library
from tests.kernels import needs_kernels
from tests.preloaded import run_preloaded


@needs_kernels
def test_a_kernel_without_memory_says_so(monkeypatch):
    class Broken:
        @staticmethod
        def bntt_moments(*arguments):
            return 1

    monkeypatch.setattr(library, "LIBRARY", Broken)
    with pytest.raises(MemoryError, match="bntt_moments"):
        library.call("bntt_moments")


@needs_kernels
def test_kernels_of_another_version_are_not_used_and_it_says_why(monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(library, "INTERFACE", library.INTERFACE + 1)
        found, reason = library._open()
        assert (found, "interface" in reason) == (None, True)
    monkeypatch.setattr(ctypes, "CDLL", lambda path: type("Old", (), {"bntt_interface": ctypes.CFUNCTYPE(None)()}))
    found, reason = library._open()
    assert (found, "bntt_variants is missing" in reason) == (None, True)


def run(code: str, **options) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_without_the_compiled_file_everything_runs_and_says_why(tmp_path):
    code = (
        "import pathlib; glob = pathlib.Path.glob\n"
        "pathlib.Path.glob = lambda p, name: [] if name.startswith('kernels.') else glob(p, name)\n"
        "import torch, bntt\n"
        "from bntt.engine.kernels import backends, BackendError\n"
        "print(backends()[1].available, backends()[1].detail)\n"
        "net = bntt.models.mlp(num_steps=3); print(net(torch.ones(3, 2, 1)).shape)\n"
        "try: bntt.nn.SpikingNetwork({}, net.readout, compute=bntt.Compute('cpu'))\n"
        "except BackendError as error: print(error)\n"
    )
    out = run(code, cwd=tmp_path)
    assert "False the kernels were not compiled" in out
    assert "torch.Size([2, 10])" in out
    assert "backend 'cpu' cannot run here" in out


@pytest.mark.slow
@needs_kernels
def test_a_forked_child_and_two_python_threads_use_the_pool():
    code = (
        "import os, threading, torch\n"
        "torch.set_num_threads(2)\n"
        "from bntt.engine.cpu.launch import moments\n"
        "x = torch.randn(4, 600, 2, 2, 16); want = moments(x)\n"
        "def check(): assert all(torch.equal(a, b) for a, b in zip(moments(x), want))\n"
        "threads = [threading.Thread(target=lambda: [check() for _ in range(50)]) for _ in range(3)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    check(); os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0; check()\n"
    )
    run(code)


@needs_kernels
@pytest.mark.skipif(sys.platform != "linux", reason="shares PyTorch's threads on Linux")
def test_kernels_work_in_pytorchs_threads_and_leave_them_as_they_were():
    """Threads of another pool would wait for cores on which PyTorch's spin: an update took a third longer."""
    code = (
        "import os, bntt.nn, torch\n"
        "from bntt.engine.cpu.launch import moments\n"
        "from bntt.engine.cpu.library import use_openmp\n"
        "threads = lambda: len(os.listdir('/proc/self/task'))\n"
        "torch.set_num_threads(3)\n"
        "x, smallest = torch.randn(4, 600, 2, 2, 16), torch.full((1 << 20,), 1e-40)\n"
        "smallest * 1; before = threads()\n"
        "torch.set_flush_denormal(True); want = moments(x, None); torch.set_flush_denormal(False)\n"
        "assert threads() == before, 'threads of its own'\n"
        "assert (smallest * 1 != 0).all(), 'torch computes otherwise now'\n"
        "use_openmp(None); own = moments(x, None)\n"
        "assert threads() == before + 2 and all(map(torch.equal, own, want))\n"
    )
    run(code)


HEADER = Path(library.__file__).with_name("kernels.h")
C_TYPES = {"double": ctypes.c_double, "std::int64_t": ctypes.c_int64, "std::int32_t": ctypes.c_int32}
C_TYPES["float"] = ctypes.c_float


def fields_of(structure: str) -> list[tuple[str, type]]:
    """Names and types of a struct's fields in the header, in order."""
    text = re.sub(r"//[^\n]*", "", HEADER.read_text("utf-8"))
    body = re.search(rf"struct {structure} {{(.*?)}};", text, re.DOTALL)[1]
    found = []
    for declaration in body.split(";"):
        if declaration.strip():
            kind, names = re.match(r"\s*(?:const\s+)?([\w:]+)\s*(.*)", declaration, re.DOTALL).groups()
            for name in names.split(","):
                pointer = "*" in name
                found.append((name.strip(" *\n"), ctypes.c_void_p if pointer else C_TYPES[kind]))
    return found


@pytest.mark.parametrize("ours", library.Job.__subclasses__())
def test_the_structures_are_those_of_the_header(ours):
    """A field too many, too few or elsewhere would shift all that follow it."""
    assert fields_of(f"Bntt{ours.__name__}") == [(name, kind) for name, kind in ours._fields_]


def test_the_interface_is_that_of_the_header():
    """With another number no kernel is used, and every test that needs one is skipped."""
    assert f"BNTT_INTERFACE = {library.INTERFACE};" in HEADER.read_text("utf-8")


def test_the_functions_take_as_many_arguments_as_the_header_says():
    text = HEADER.read_text("utf-8")
    for name, (_, arguments) in library._ARGUMENTS.items():
        kernel = name.removeprefix("bntt_")
        inside = re.search(rf"(?:{name}\(|KERNEL\(\w+, {kernel}, \()(.*?)\)[;,]", text, re.DOTALL)[1]
        assert len([part for part in inside.split(",") if part.strip()]) == len(arguments), name


ONE_UNIT = """
#include <atomic>
#include <chrono>
#include <thread>
#include "kernels.h"
std::atomic<int> alone{0}, together{0};
std::atomic<bool> over{false}, failed{false};
void wait(const std::atomic<int>& count, int wanted) {
  for (int i = 0; i < 2000 && count < wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (count < wanted) failed = true;
}
int main() {
  std::thread one([] {
    bntt::parallel(1, 2, [](void*, Size, int) { ++alone; while (!over) std::this_thread::yield(); }, nullptr);
  });
  wait(alone, 1);
  bntt::parallel(2, 2, [](void*, Size, int) { ++together; wait(together, 2); }, nullptr);
  over = true;
  one.join();
  return failed;
}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_caller_with_one_unit_leaves_the_pool_to_others(tmp_path):
    source, program, folder = tmp_path / "one_unit.cpp", tmp_path / "one_unit", HEADER.parent
    source.write_text(ONE_UNIT, "utf-8")
    files = [f"-I{folder}", str(source), str(folder / "pool.cpp"), "-o", str(program)]
    subprocess.run(["g++", "-std=c++17", "-pthread", *files], check=True, timeout=120)
    assert subprocess.run([str(program)], timeout=60, check=False).returncode == 0


DENIES_THREADS = """
#include <errno.h>
#include <dlfcn.h>
#include <pthread.h>
int deny = 0;
typedef int (*create)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int pthread_create(pthread_t* t, const pthread_attr_t* a, void* (*f)(void*), void* x) {
  return deny ? EAGAIN : ((create)dlsym(RTLD_NEXT, "pthread_create"))(t, a, f, x);
}
"""


@pytest.mark.slow
@needs_kernels
@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs a C compiler")
def test_a_thread_that_cannot_be_started_is_done_without(tmp_path):
    """Of a pool of our own: OpenMP ends the process, as for any operation of PyTorch."""
    code = (
        "import ctypes, os, torch\n"
        "from bntt.engine.cpu.launch import moments\n"
        "from bntt.engine.cpu.library import use_openmp\n"
        "deny = ctypes.c_int.in_dll(ctypes.CDLL(os.environ['LD_PRELOAD']), 'deny')\n"
        "x = torch.randn(4, 600, 2, 2, 16); want = moments(x, None)\n"
        "torch.set_num_threads(2); use_openmp(None)\n"
        "deny.value = 1\n"
        "assert all(torch.equal(a, b) for a, b in zip(moments(x, None), want))\n"
        "deny.value = 0\n"
        "assert all(torch.equal(a, b) for a, b in zip(moments(x, None), want)); print('the same')\n"
    )
    done = run_preloaded(tmp_path, DENIES_THREADS, code)
    assert done.stdout.strip() == "the same", done.stderr
