"""One way to run a network, in a separate process: ``python -m bntt.bench.deployed_worker '{"variant": ...}'``.

It imports only what this way needs, so that its memory is what such a program takes. It answers each line that it
receives with a line of JSON: "time" with the least CPU seconds of some calls on one batch of samples, and the bytes
that the process holds; "logits" when it has written the logits of all samples to a file next to them.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bntt.io.memory import resident, return_freed_memory

Array = Any
Run = Callable[[Array, Array], Array]
"""From samples ``[B, ...]`` and their indices to logits ``[B, K]``."""


def main(specification: str) -> int:
    """Serve until the input ends."""
    wanted = json.loads(specification)
    folder, batch = Path(wanted["folder"]), wanted["batch"]
    run, index = VARIANTS[wanted["variant"]](wanted["network"], folder), np.arange(batch)
    samples = np.load(folder / "samples.npy", mmap_mode="r")  # a program would not hold all of them
    part = np.array(samples[np.arange(batch) % len(samples)])
    del samples
    run(part, index)
    return_freed_memory()
    _say({"ready": True})
    for line in sys.stdin:
        if line.strip() == "logits":
            np.save(folder / f"{wanted['variant']}.npy", _all_logits(run, folder, batch))
            return_freed_memory()
            _say({})
        else:
            _say({"seconds": min(_timed(run, part, index) for _ in range(wanted["calls"])), "resident": resident()})
    return 0


def _all_logits(run: Run, folder: Path, batch: int) -> Array:
    samples = np.load(folder / "samples.npy", mmap_mode="r")
    parts = [np.arange(first, min(len(samples), first + batch)) for first in range(0, len(samples), batch)]
    return np.concatenate([run(np.array(samples[part]), part) for part in parts])


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _timed(run: Run, samples: Array, index: Array) -> float:
    began = time.process_time()
    run(samples, index)
    return time.process_time() - began


def _torch(network: str, folder: Path, *, backend: str, stepped: bool) -> Run:
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


def _runtime(network: str, folder: Path, *, weights: str, stepped: bool) -> Run:
    from bntt.deploy.runtime.encoding import IN_TIME
    from bntt.deploy.runtime.runtime import Runtime

    runtime = Runtime(folder / f"{weights}.safetensors")
    timed = runtime.description.encoder.kind in IN_TIME

    def run(samples: Array, index: Array) -> Array:
        if not stepped:
            return runtime.run(samples, index=index)
        state, logits = None, None
        for t in range(runtime.num_steps):
            x = samples[:, t] if timed else samples
            logits, state = runtime.step(x, index=index) if state is None else runtime.step(x, state)
        return logits

    return run


def _onnx(network: str, folder: Path, *, stepped: bool) -> Run:
    import onnxruntime

    from bntt.deploy.bundle import read
    from bntt.deploy.runtime.encoding import encode, samples_of
    from bntt.deploy.runtime.state import noise_of

    made = read(folder / "float32.safetensors")  # for the encoder, which is not in the graph where it draws
    kind, steps = made.encoder.kind, made.num_steps
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / f"{'step' if stepped else 'whole'}.onnx", settings)
    state_of = {one.name: one.shape[1:] for one in session.get_inputs() if one.name not in ("input", "step")}
    outputs = [one.name for one in session.get_outputs()]

    def given(samples: Array, index: Array) -> Array:
        """Return the graph's input: of all steps, time first, or the samples where it encodes them."""
        if not kind.startswith("poisson"):
            return (
                np.ascontiguousarray(np.moveaxis(samples, 1, 0))
                if samples.ndim > 1 + len(made.input_shape)
                else samples
            )
        values = samples_of(made, samples, np.float32, whole=True)
        spikes = encode(made, values, noise_of(0, 0, index, len(samples)), range(steps))
        return np.ascontiguousarray(np.moveaxis(spikes, -1, 2)).reshape(steps, len(samples), *made.input_shape)

    def run(samples: Array, index: Array) -> Array:
        x = given(samples, index)
        if not stepped:
            return session.run(["logits"], {"input": x})[0]
        timed = x.ndim > 1 + len(made.input_shape)
        state, found = {name: np.zeros((len(samples), *shape), np.float32) for name, shape in state_of.items()}, {}
        for t in range(steps):
            given_now = {"input": x[t] if timed else x, "step": np.array(t), **state}
            found = dict(zip(outputs, session.run(outputs, given_now), strict=True))
            state = {name: found[f"next.{name}"] for name in state_of}
        return found["logits"]

    return run


def _ways() -> dict[str, Callable[[str, Path], Run]]:
    from functools import partial

    found: dict[str, Callable[[str, Path], Run]] = {}
    for step in ("", " step"):
        stepped = bool(step)
        found[f"pytorch{step}"] = partial(_torch, backend="reference", stepped=stepped)
        found[f"fused{step}"] = partial(_torch, backend="cpu", stepped=stepped)
        found[f"onnx{step}"] = partial(_onnx, stepped=stepped)
        found[f"runtime{step}"] = partial(_runtime, weights="float32", stepped=stepped)
        found[f"runtime int8{step}"] = partial(_runtime, weights="int8", stepped=stepped)
    return found


VARIANTS = _ways()
"""Ways to run a network by name: plain PyTorch, the fused kernels, ONNX Runtime and the runtime without PyTorch, all
steps in one call or one after another."""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
