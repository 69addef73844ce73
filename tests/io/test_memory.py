"""What is freed stays with the process, in the programs that ask for it."""

import ctypes
import subprocess
import sys

import pytest

from bntt.io.memory import keep_freed_memory
from tests.rows import each_row

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


@each_row("platform", ["darwin", "linux", "win32"])
def test_elsewhere_nothing_is_done_or_said(platform, monkeypatch):
    """On another system, and on one with another C library."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object() if platform == "linux" else 1 / 0)
    keep_freed_memory()
