"""NIR files. :mod:`bntt.deploy.nir.hdf5` opens them in a separate process: if it crashes, the caller gets an error."""

from __future__ import annotations

import importlib.util
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import safetensors.numpy

from bntt.deploy.errors import BundleError, DeployError
from bntt.deploy.nir import hdf5
from bntt.io.child import environment
from bntt.io.files import read_file


def read(path: Path) -> dict[str, Any]:
    """Return the graph in a file as ``nir.NIRGraph.to_dict`` has it."""
    if importlib.util.find_spec("nir") is None:
        raise DeployError('NIR files are read by nir, which is not installed: pip install "bntt[nir]"')
    payload = read_file(path, hdf5.MOST_BYTES, BundleError)
    here = environment(OPENBLAS_NUM_THREADS="1", HDF5_PLUGIN_PRELOAD="::")  # HDF5's word for: no plugins
    command = [sys.executable, "-P", str(hdf5.__file__)]
    try:
        told = subprocess.run(command, input=payload, capture_output=True, env=here, timeout=2 * hdf5.SECONDS)
    except subprocess.TimeoutExpired:
        raise BundleError(f"{path} is no NIR graph: opening it took more than {2 * hdf5.SECONDS} seconds") from None
    if told.returncode == 0:
        return unpacked(told.stdout)
    said = told.stderr.decode("utf-8", "replace").strip()
    why = f"could not be opened: {said.splitlines()[-1] if said else 'for no known reason'}"
    if told.returncode == 3:
        why = f"is no NIR graph: {said}"
    elif told.returncode == -getattr(signal, "SIGXCPU", 0):  # Windows has none
        why = f"is no NIR graph: opening it took more than {hdf5.SECONDS} seconds of CPU"
    elif told.returncode < 0:
        why = f"is damaged: HDF5 crashed on it (signal {-told.returncode})"
    raise BundleError(f"{path} {why}")


def unpacked(packed: bytes) -> dict[str, Any]:
    """Return the graph that :func:`~bntt.deploy.nir.hdf5.packed` wrote."""
    arrays = safetensors.numpy.load(packed)
    head = json.loads(packed[8 : 8 + int.from_bytes(packed[:8], "little")])

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(one) for one in value]
        if isinstance(value, dict):
            return arrays[value[hdf5.ARRAY]] if hdf5.ARRAY in value else {key: filled(value[key]) for key in value}
        return value

    graph: dict[str, Any] = filled(json.loads(head["__metadata__"]["graph"]))
    return graph
