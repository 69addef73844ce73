"""What is freed stays with the process, in the programs that ask for it."""

import ctypes
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bntt.io.memory import keep_freed_memory, resident

PROBE = """
import resource, sys
import bntt.cli.main as m
def probe():
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        bytearray(1 << 26)  # 16,384 pages
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
m.main = probe
m.entry()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="this C library has no mallopt")
def test_the_program_keeps_what_it_frees():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) < 1000


@pytest.mark.parametrize("platform", ["darwin", "linux", "win32"])
def test_elsewhere_nothing_is_done_or_said(platform, monkeypatch):
    """On another system, and on one with another C library."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object() if platform == "linux" else 1 / 0)
    keep_freed_memory()


def test_windows_is_asked_for_the_working_set(monkeypatch):
    def tell(process, counters, size):
        counters._obj[1:3] = 7, 5

    kernel = SimpleNamespace(GetCurrentProcess=lambda: 1, K32GetProcessMemoryInfo=tell)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: kernel)
    monkeypatch.setattr(Path, "exists", lambda self: False)  # no /proc
    assert (resident(), resident("VmHWM")) == (5, 7)
