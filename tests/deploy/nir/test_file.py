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


def links(held: h5py.File) -> None:
    held["node/nodes/conv1"].pop("bias")
    held["node/nodes/conv1/bias"] = h5py.ExternalLink("/etc/passwd", "bias")


def soft_link(held: h5py.File) -> None:
    held["node/nodes/more"] = h5py.SoftLink("/node")


def loop(held: h5py.File) -> None:
    held["node/nodes/more"] = held["node"]


def outside(held: h5py.File) -> None:
    held["node/nodes/conv1"].pop("bias")
    held["node/nodes/conv1"].create_dataset("bias", (16,), "f4", external=[("/etc/passwd", 0, 64)])


def virtual(held: h5py.File) -> None:
    layout = h5py.VirtualLayout((16,), "f4")
    layout[:] = h5py.VirtualSource("other.nir", "bias", (16,))
    held["node/nodes/conv1"].pop("bias")
    held["node/nodes/conv1"].create_virtual_dataset("bias", layout)


def bomb(held: h5py.File) -> None:
    held["node/nodes/conv1"].pop("weight")
    held["node/nodes/conv1"].create_dataset("weight", (1 << 20, 1 << 12), "f8", compression="gzip", chunks=(1, 1 << 12))


def records(held: h5py.File) -> None:
    held["node/nodes/conv1/more"] = np.zeros(2, [("a", "f4"), ("b", "i4")])


def nameless(held: h5py.File) -> None:
    held["node/nodes/conv1/more"] = h5py.Empty("f4")


def typed(held: h5py.File) -> None:
    held["node/nodes/conv1/more"] = np.dtype("f4")


@each_row(
    "change, said",
    [
        (links, "/node/nodes/conv1/bias is a link to elsewhere"),
        (soft_link, "/node/nodes/more is a link to elsewhere"),
        (loop, "is in the file twice"),
        (outside, "/node/nodes/conv1/bias has its numbers in other files"),
        (virtual, "/node/nodes/conv1/bias has its numbers in other files"),
        (bomb, r"/node/nodes/conv1/weight would have 34,359,738,368 bytes, of at most 2,\d+,\d+,\d+"),
        (records, "/node/nodes/conv1/more holds .*: neither numbers nor text"),
        (nameless, "/node/nodes/conv1/more holds .* None: neither numbers nor text"),
        (typed, "/node/nodes/conv1/more is Datatype, neither a group nor numbers"),
    ],
)
def test_what_no_graph_has_is_refused_before_it_is_followed(change, said, whole, tmp_path):
    path = tmp_path / "x.nir"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as held:
        change(held)
    with pytest.raises(hdf5.Refused, match=said):
        hdf5.packed(path.read_bytes())


def unknown(held: h5py.File) -> None:
    held["node/nodes/conv1"].pop("type")
    held["node/nodes/conv1/type"] = "Exec"


def headless(held: h5py.File) -> None:
    held.pop("node")


@each_row("change, said", [(unknown, "'conv1' .Exec.: .* no such part"), (headless, "no NIRGraph")])
def test_a_whole_file_of_no_graph_is_refused(change, said, whole, tmp_path):
    path = tmp_path / "x.nir"
    path.write_bytes(whole)
    with h5py.File(path, "r+") as held:
        change(held)
    with pytest.raises(DeployError, match=said):
        from_nir(path)


def test_a_damaged_file_is_refused_by_a_process_of_its_own(whole, tmp_path):
    path = tmp_path / "x.nir"
    for content, said in (
        (whole[: len(whole) // 2], "x.nir cannot be read as a NIR graph: HDF5 cannot read it"),
        (b"", "x.nir cannot be read as a NIR graph: HDF5 cannot read it"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "x.nir cannot be read as a NIR graph: HDF5 cannot read it"),
    ):
        path.write_bytes(content)
        with pytest.raises(BundleError, match=said) as refused:
            from_nir(path)
        assert len(str(refused.value).removeprefix(str(path))) < 300
    with pytest.raises(BundleError, match="does not exist"):
        from_nir(tmp_path / "none")
    with pytest.raises(BundleError, match="it is no file"):
        from_nir(tmp_path)


def test_a_crash_a_hang_and_a_mishap_become_words(tmp_path, monkeypatch):
    path = tmp_path / "x.nir"
    path.write_bytes(b"x")
    program = tmp_path / "program.py"
    monkeypatch.setattr(hdf5, "__file__", str(program))
    monkeypatch.setattr(hdf5, "SECONDS", 0.5)
    for does, said in (
        (
            f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})",
            r"x.nir cannot be read as a NIR graph: HDF5 crashed on it \(SIGSEGV\)",
        ),
        ("import time; time.sleep(60)", "x.nir cannot be read .*: it took more than 0.5 seconds"),
        ("raise ImportError('no h5py')", "x.nir cannot be read .*: ImportError: no h5py"),
        ("import sys; sys.exit(9)", "x.nir cannot be read .*: for no known reason"),
    ):
        program.write_text(does, encoding="ascii")
        with pytest.raises(BundleError, match=said):
            graph.read(path)


def test_the_process_is_bounded():
    done = "from bntt.deploy.nir import hdf5; hdf5.limit(); import numpy; numpy.ones(hdf5.MEMORY // 8)"
    told = subprocess.run([sys.executable, "-c", done], capture_output=True, text=True)
    assert "MemoryError" in told.stderr
    tight = "import resource as r; r.setrlimit(r.RLIMIT_AS, (4 << 30, 4 << 30))"
    tight += "\nfrom bntt.deploy.nir import hdf5; hdf5.limit()"
    told = subprocess.run([sys.executable, "-c", tight], capture_output=True, text=True)
    assert not told.stderr  # a batch system's bound, below ours
    refused = "import resource as r\ndef no(*_):\n    raise ValueError('current limit exceeds maximum limit')\n"
    refused += "r.setrlimit = no\nfrom bntt.deploy.nir import hdf5\nhdf5.limit()"
    assert not subprocess.run([sys.executable, "-c", refused], capture_output=True, text=True).stderr  # as macOS does


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
