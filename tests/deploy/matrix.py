"""Every model, norm, rule, reset and coding outside: parity with the library, or the sentence that refuses it."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch

import bntt
from bntt.deploy import DeployError, Description, Runtime, describe, onnx_graph
from bntt.models import MODELS
from bntt.nn import NORMS, SpikingClassifier
from tests.deploy.networks import BATCH, classifier, steps_of

CODINGS = ("poisson", "poisson-unsigned", "direct", "expected", "expected-unsigned", "frames", "sequence")
RULES, RESETS = ("after", "before"), ("soft", "hard")
INDEX = np.array([4, 0, 9])
NOISE = {"seed": 5, "draw": 7}


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


@torch.no_grad()
def outcome(case: Case) -> Outcome:
    model, samples, shape = classifier(case.model, case.coding, norm=case.norm, fire=case.rule, reset=case.reset)
    try:
        made = describe(model, input_shape=shape)
    except DeployError as error:
        return Outcome(refused=str(error))
    exact = copy.deepcopy(model).double()
    exact.network.compute = bntt.Compute("reference")
    index = torch.from_numpy(INDEX)
    logits = exact.advance(torch.from_numpy(samples).double(), steps=model.encoder.num_steps, index=index, **NOISE)[
        0
    ].numpy()
    whole = [
        Runtime(made, dtype).trace(samples.astype(dtype), index=INDEX, **NOISE) for dtype in ("float64", "float32")
    ]
    found = [*whole, by_onnx(made, model, samples)]
    return Outcome(
        *(float(np.abs(one - logits).max()) for one in found), spoke=bool(np.ptp(logits[-1], axis=0).max() > 0)
    )


def by_onnx(made: Description, model: SpikingClassifier, samples: np.ndarray) -> np.ndarray:
    """Logits after each step, of one graph with all of them."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_graph.build(made).SerializeToString(), settings)
    x = samples
    if made.encoder.kind not in onnx_graph.CONSTANT:
        drawn = model.encoder(torch.from_numpy(samples), index=torch.from_numpy(INDEX), **NOISE)
        x = drawn.reshape(made.num_steps, BATCH, *made.input_shape).float().numpy()
    return session.run(["logits_over_time"], {"input": x})[0]


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
