"""Every model, norm, rule, reset and coding outside: parity with the library, or the sentence that refuses it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from bntt.deploy import DeployError, Runtime, describe, onnx_graph
from bntt.models import MODELS
from bntt.nn import NORMS
from tests.deploy.networks import BATCH, classifier, library, session, steps_of

CODINGS = ("poisson", "poisson-unsigned", "direct", "expected", "expected-unsigned", "frames", "sequence")
RULES, RESETS = ("after", "before"), ("soft", "hard")
NOISE = {"seed": 5, "draw": 7, "index": np.array([4, 0, 9])}


class Case(NamedTuple):
    model: str
    norm: str
    rule: str
    reset: str
    coding: str


def cases() -> Iterator[Case]:
    """All of them; sequences are of features alone, as the MLP takes them."""
    for one in itertools.product(MODELS, NORMS, RULES, RESETS, CODINGS):
        if one[0] == "mlp" or one[4] != "sequence":
            yield Case(*one)


class Outcome(NamedTuple):
    """Distances of logits from the library's in float64, the largest of all samples and steps; or a refusal."""

    float64: float = 0.0
    float32: float = 0.0
    onnx: float = 0.0
    spoke: bool = False
    """True if the samples have logits of their own: nothing is equal to nothing."""
    refused: str = ""


def outcome(case: Case) -> Outcome:
    model, samples, shape = classifier(case.model, case.coding, norm=case.norm, fire=case.rule, reset=case.reset)
    try:
        made = describe(model, input_shape=shape)
    except DeployError as error:
        return Outcome(refused=str(error))
    logits, _ = library(model, samples, **NOISE)
    found = [Runtime(made, dtype).trace(samples.astype(dtype), **NOISE) for dtype in ("float64", "float32")]
    x = samples
    if made.encoder.kind not in onnx_graph.CONSTANT:
        drawn = model.encoder(torch.from_numpy(samples), **NOISE | {"index": torch.from_numpy(NOISE["index"])})
        x = drawn.reshape(made.num_steps, BATCH, *made.input_shape).float().numpy()
    found.append(session(made).run(["logits_over_time"], {"input": x})[0])
    distances = (float(np.abs(one - logits).max()) for one in found)
    return Outcome(*distances, spoke=bool(np.ptp(logits[-1], axis=0).max() > 0))


TIE = 1e-4
"""What a float32 logit is off by at most, unless a spike fell otherwise where a membrane met its threshold."""


def measured() -> dict[str, object]:
    """All outcomes, together by model and norm: the page of parity is made of them."""
    together: dict[tuple[str, str], list[Outcome]] = {}
    for case in cases():
        together.setdefault((case.model, case.norm), []).append(outcome(case))
    rows = [
        {
            "model": model,
            "norm": norm,
            "cases": len(found),
            "spoke": sum(one.spoke for one in found),
            "refused": sorted({one.refused for one in found if one.refused}),
            **{target: _distances([getattr(one, target) for one in found if not one.refused]) for target in TARGETS},
        }
        for (model, norm), found in together.items()
    ]
    steps = sorted({steps_of(model, rule) for model in MODELS for rule in RULES})
    return {"steps": steps, "samples": BATCH, "rows": rows}


TARGETS = ("float64", "float32", "onnx")


def _distances(found: list[float]) -> dict[str, float]:
    """The largest distance of those that are no ties, and how many are."""
    near = [one for one in found if one <= TIE]
    return {"largest": max(near, default=0.0), "ties": len(found) - len(near)}
