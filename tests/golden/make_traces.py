"""Regenerate ``traces.json``: one small network computed by the NumPy oracle alone.

python -m tests.golden.make_traces
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from tests import reference

TARGET = Path(__file__).with_name("traces.json")
STEPS, BATCH, LABELS = 6, 3, (1, 0, 2)


def numbers(shape: tuple[int, ...], purpose: int, scale: float, shift: float = 0.0) -> np.ndarray:
    """Weights and pixels from the oracle's own counter: (u - 1/2) · scale + shift."""
    flat = [reference.uniform(2021, purpose, 0, 0, 0, i) for i in range(int(np.prod(shape)))]
    return (np.array(flat).reshape(shape) - 0.5) * scale + shift


def inputs() -> np.ndarray:
    """Signed Poisson spikes of three 1x4x4 images, drawn with the encoder's counters (seed 7, draw 1)."""
    pixels = numbers((BATCH, 1, 4, 4), 10, 4.0)
    draws = np.array(
        [[[reference.uniform(7, 1, 1, b, t, i) for i in range(16)] for b in range(BATCH)] for t in range(STEPS)]
    )
    return reference.signed_poisson(pixels, draws.reshape(STEPS, BATCH, 1, 4, 4))


def network(**rules: bool) -> reference.Network:
    """C2-P-FC3-FC3 with every γ its own."""

    def layer(weight: np.ndarray, purpose: int, pool: str | None) -> reference.Layer:
        channels = len(weight)
        gamma = numbers((STEPS, channels), purpose, 1.0, 1.2)
        return reference.Layer(weight, gamma, np.zeros((STEPS, channels)), np.ones((STEPS, channels)), pool)

    layers = [layer(numbers((2, 1, 3, 3), 11, 2.0), 12, "halve"), layer(numbers((3, 8), 13, 2.0), 14, None)]
    leak = 0.5 if rules.get("decay_input") else 0.9  # so that half of the input drives them
    return reference.Network(layers, numbers((3, 3), 15, 2.0), leak=leak, **rules)


RULES = {
    "after, soft": {},
    "after, hard": {"hard_reset": True},
    "before, soft": {"fire_before": True},
    "before, hard": {"fire_before": True, "hard_reset": True},
    "after, soft, input decays": {"decay_input": True},
    "after, hard, input decays": {"hard_reset": True, "decay_input": True},
    "before, soft, input decays": {"fire_before": True, "decay_input": True},
}


def trace(**rules: bool) -> dict[str, object]:
    """What one training pass computes."""
    net = network(**rules)
    tape = reference.forward(net, inputs())
    gradients = reference.backward(net, tape, np.array(LABELS))
    layers = range(len(net.layers))
    return {
        "spikes": [np.stack([o[i] for o in tape.spikes]).astype(int).tolist() for i in layers],
        "membrane": [np.stack([u[i] for u in tape.membrane]).tolist() for i in layers],
        "logits": tape.logits.tolist(),
        "loss": reference.cross_entropy(tape.logits, np.array(LABELS)),
        "weight gradients": [g.tolist() for g in gradients.weights],
        "gamma gradients": [g.tolist() for g in gradients.gammas],
        "leak gradients": gradients.leaks,
        "readout gradient": gradients.readout.tolist(),
        "running mean": [layer.running_mean.tolist() for layer in net.layers],
        "running variance": [layer.running_var.tolist() for layer in net.layers],
    }


if __name__ == "__main__":
    TARGET.write_text(json.dumps({name: trace(**rules) for name, rules in RULES.items()}) + "\n", encoding="utf-8")
    sys.stdout.write(f"wrote {TARGET}\n")
