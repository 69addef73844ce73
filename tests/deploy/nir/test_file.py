"""NIR files that are none: opened in a process of their own, and refused in words, whatever HDF5 does there."""

import signal
import subprocess
import sys

import h5py
import nir
import numpy as np
import pytest

from bntt.deploy import BundleError, DeployError, export, from_nir
from bntt.deploy.nir import graph, hdf5
from bntt.models import pretrained
from tests.deploy.nir.plain import image_net
from tests.rows import each_row


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("nir") / "x.nir"
    export(pretrained(), path, "nir")
    return path.read_bytes()


def put(path: str, value: object):
    """A change of a file: something in the place of what is there."""

    def change(held: h5py.File) -> None:
        if path in held:
            held.pop(path)
        held[path] = value(held) if callable(value) else value

    return change


def made(name: str, shape: tuple[int, ...], **how: object):
    """A change of a file: a set of numbers of the first layer, stored otherwise."""

    def change(held: h5py.File) -> None:
        held[CONV].pop(name)
        held[CONV].create_dataset(name, shape, "f4", **how)

    return change


def virtual(held: h5py.File) -> None:
    layout = h5py.VirtualLayout((16,), "f4")
    layout[:] = h5py.VirtualSource("other.nir", "bias", (16,))
    held[CONV].pop("bias")
    held[CONV].create_virtual_dataset("bias", layout)


CONV = "node/nodes/conv1"
NEVER = [
    (put(f"{CONV}/bias", h5py.ExternalLink("/etc/passwd", "bias")), "conv1/bias"),
    (put("node/nodes/more", h5py.SoftLink("/node")), "nodes/more"),
    (put("node/nodes/more", lambda held: held["node"]), "twice"),
    (made("bias", (16,), external=[("/etc/passwd", 0, 64)]), "conv1/bias"),
    (virtual, "conv1/bias"),
    (made("weight", (1 << 20, 1 << 12), compression="gzip", chunks=(1, 1 << 12)), "conv1/weight .*bytes"),
    (put(f"{CONV}/more", np.zeros(2, [("a", "f4"), ("b", "i4")])), "conv1/more"),
    (put(f"{CONV}/more", h5py.Empty("f4")), "conv1/more"),
    (put(f"{CONV}/more", np.dtype("f4")), "conv1/more"),
]


@pytest.fixture
def changed(whole, tmp_path):
    """The file of a network after a change."""

    def changed(change):
        path = tmp_path / "x.nir"
        path.write_bytes(whole)
        with h5py.File(path, "r+") as held:
            change(held)
        return path

    return changed


@each_row("change, named", NEVER)
def test_what_no_graph_has_is_refused_before_it_is_followed(change, named, changed):
    with pytest.raises(hdf5.Refused, match=named):
        hdf5.packed(changed(change).read_bytes())


@each_row(
    "change, named", [(put(f"{CONV}/type", "Exec"), "'conv1' .Exec."), (lambda held: held.pop("node"), "NIRGraph")]
)
def test_a_whole_file_of_no_graph_is_refused(change, named, changed):
    with pytest.raises(DeployError, match=named):
        from_nir(changed(change))


@each_row("content", [b"", b"\x89HDF\r\n\x1a\n" + bytes(500), None])
def test_a_damaged_file_is_refused_by_a_process_of_its_own(content, whole, tmp_path):
    path = tmp_path / "x.nir"
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(BundleError, match=r"x\.nir"):
        from_nir(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(BundleError, match=str(path)):
            from_nir(path)


@each_row(
    "does, why",
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", "SIGSEGV"),
        ("import time; time.sleep(60)", "0.5 seconds"),
        ("raise ImportError('no h5py')", "ImportError: no h5py"),
        ("import sys; sys.exit(9)", "x.nir"),
    ],
)
def test_a_crash_a_hang_and_a_mishap_are_errors_that_say_so(does, why, tmp_path, monkeypatch):
    (tmp_path / "x.nir").write_bytes(b"x")
    (tmp_path / "program.py").write_text(does, encoding="ascii")
    monkeypatch.setattr(hdf5, "__file__", str(tmp_path / "program.py"))
    monkeypatch.setattr(hdf5, "SECONDS", 0.5)
    with pytest.raises(BundleError, match=why):
        graph.read(tmp_path / "x.nir")


@each_row(
    "before, said",
    [
        ("", "MemoryError"),
        ("import resource as r; r.setrlimit(r.RLIMIT_AS, (4 << 30, 4 << 30))", ""),  # a batch system's, below ours
        ("import resource as r\ndef no(*_): raise ValueError('current limit')\nr.setrlimit = no", ""),  # as macOS does
    ],
)
def test_the_process_is_bounded(before, said):
    use = "import numpy; numpy.ones(hdf5.MEMORY // 8)" if said else ""
    code = f"{before}\nfrom bntt.deploy.nir import hdf5; hdf5.limit(); {use}"
    error = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stderr
    assert said in error
    assert bool(said) == bool(error)


def test_a_file_has_what_its_graph_has(tmp_path):
    plain = image_net()
    nir.write(tmp_path / "x.nir", plain)
    found, expected = graph.read(tmp_path / "x.nir"), plain.to_dict()
    assert found["nodes"].keys() == expected["nodes"].keys()
    assert found["edges"] == [list(edge) for edge in expected["edges"]]
    for name, node in expected["nodes"].items():
        for key, value in node.items():
            other = found["nodes"][name].get(key, {})
            assert np.array_equal(np.asarray(other), np.asarray(value)), (name, key)
