"""Ways to run a trained network: plain PyTorch, the fused kernels, ONNX Runtime, and the runtime without PyTorch.

``python -m benchmarks.ways '{"way": ...}'`` imports only what its way needs, so that its memory is what such a program
takes. It answers "time" with the least CPU seconds of some calls on one batch, encoding included, and the bytes that
the process holds; "logits" when the logits of all samples are in a file next to them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.workers import return_freed_memory, serve
from bntt.io.memory import resident

Array = Any
Run = Callable[[Array, Array], Array]
"""From samples ``[B, ...]`` and their indices to logits ``[B, K]``."""
FILES = {
    "pytorch": "float32.safetensors",  # of the size of the package's own
    "fused": "float32.safetensors",
    "onnx": "whole.onnx",
    "runtime": "float32.safetensors",
    "runtime int8": "int8.safetensors",
}
FILES |= {f"{name} step": file for name, file in FILES.items()} | {"onnx step": "step.onnx"}
"""The file that each way reads: all steps in one call, or one step after another."""


def way_of(name: str, network: str, folder: Path) -> Run:
    """Open a network of the package for a way."""
    stepped = name.endswith(" step")
    if name.startswith("onnx"):
        return _onnx(folder, FILES[name], stepped)
    if name.startswith("runtime"):
        return _runtime(folder / FILES[name], stepped)
    return _torch(network, "cpu" if name.startswith("fused") else "reference", stepped)


def _torch(network: str, backend: str, stepped: bool) -> Run:
    import torch

    from bntt.engine.compute import Compute
    from bntt.models import pretrained

    model = pretrained(network)
    model.network.compute = Compute(backend)  # type: ignore[arg-type]

    @torch.inference_mode()
    def run(samples: Array, index: Array) -> Array:
        x, named = torch.from_numpy(samples), torch.from_numpy(index)
        if not stepped:
            return model(x, seed=0, index=named, draw=0).numpy()
        logits, state = model.advance(x, seed=0, index=named, draw=0)
        for _ in range(1, model.encoder.num_steps):
            logits, state = model.advance(x, state)
        return logits[-1].numpy()

    return run


def _runtime(file: Path, stepped: bool) -> Run:
    from bntt.deploy.runtime.arrays import IN_TIME
    from bntt.deploy.runtime.runtime import Runtime

    runtime = Runtime(file)
    in_time = runtime.description.encoder.kind in IN_TIME

    def run(samples: Array, index: Array) -> Array:
        if not stepped:
            return runtime.run(samples, index=index)
        state, logits = None, None
        for t in range(runtime.num_steps):
            x = samples[:, t] if in_time else samples
            logits, state = runtime.step(x, index=index) if state is None else runtime.step(x, state)
        return logits

    return run


def _onnx(folder: Path, file: str, stepped: bool) -> Run:
    import onnxruntime

    from bntt.deploy.bundle import read
    from bntt.deploy.runtime.arrays import encode, noise_of, samples_of

    made = read(folder / "float32.safetensors")  # for the encoder, which is not in the graph where it draws
    steps, rank = made.num_steps, 1 + len(made.input_shape)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / file, settings)
    state_of = {one.name: one.shape[1:] for one in session.get_inputs() if one.name not in ("input", "step")}
    outputs = [one.name for one in session.get_outputs()]

    def given(samples: Array, index: Array) -> Array:
        """Return the graph's input: of all steps, time first, or the samples where it encodes them."""
        if made.encoder.kind.startswith("poisson"):
            values = samples_of(made, samples, np.float32, whole=True)
            spikes = encode(made, values, noise_of(0, 0, index, len(samples)), range(steps))
            return np.ascontiguousarray(np.moveaxis(spikes, -1, 2)).reshape(steps, len(samples), *made.input_shape)
        return np.ascontiguousarray(np.moveaxis(samples, 1, 0)) if samples.ndim > rank else samples

    def run(samples: Array, index: Array) -> Array:
        x = given(samples, index)
        if not stepped:
            return session.run(["logits"], {"input": x})[0]
        state, found = {name: np.zeros((len(samples), *shape), np.float32) for name, shape in state_of.items()}, {}
        for t in range(steps):
            now = {"input": x[t] if x.ndim > rank else x, "step": np.array(t), **state}
            found = dict(zip(outputs, session.run(outputs, now), strict=True))
            state = {name: found[f"next.{name}"] for name in state_of}
        return found["logits"]

    return run


def main(specification: str) -> None:
    """Answer "logits" and "time"."""
    told = json.loads(specification)
    folder, batch = Path(told["folder"]), told["batch"]
    run, index = way_of(told["way"], told["network"], folder), np.arange(batch)
    samples = np.load(folder / "samples.npy", mmap_mode="r")  # a program would not hold all of them
    part = np.array(samples[index % len(samples)])

    def seconds() -> float:
        began = time.process_time()
        run(part, index)
        return time.process_time() - began

    def answer(asked: str) -> dict[str, float]:
        if asked == "time":
            return {"seconds": min(seconds() for _ in range(told["calls"])), "resident": resident()}
        parts = [np.arange(first, min(len(samples), first + batch)) for first in range(0, len(samples), batch)]
        np.save(folder / f"{told['way']}.npy", np.concatenate([run(np.array(samples[at]), at) for at in parts]))
        return_freed_memory()
        return {}

    run(part, index)
    return_freed_memory()
    serve(answer)


if __name__ == "__main__":
    main(sys.argv[1])
