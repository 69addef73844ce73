"""What a study measures on a run: a closed dictionary of kinds, each a verb of ``bntt`` with its arguments.

What a kind found is kept beside the run as ``measures/<kind>-<digest of the arguments>.json``; of runs that were kept
without their weights, what the verb itself wrote is taken where that says that it was asked for the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bntt.experiments.schema import Recipe
from bntt.experiments.schema_data import Part, Positive

Sigma = Annotated[float, Field(ge=0, le=1000)]


class Measure(Part):
    """One kind, asked for in one way."""

    kind: str
    needs: ClassVar[str] = "run"
    """"run": a trained network; "recipe": it trains by itself."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        """The arguments of ``bntt``, for a run directory and its recipe."""
        raise NotImplementedError

    def written(self) -> str:
        """The file that the verb writes into the run directory."""
        return f"{self.kind}.json"

    def was_asked(self, values: Mapping[str, Any]) -> bool:
        """Whether numbers that the verb kept by itself are these."""
        return False

    @property
    def digest(self) -> str:
        """Of kind and arguments."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def file(self) -> str:
        """Where it is kept, below the run directory."""
        return f"measures/{self.kind}-{self.digest}.json"


class Exit(Measure):
    """The exit that γ says, chosen on validation: `bntt exit`."""

    kind: Literal["exit"]
    loss: Annotated[float, Field(ge=0, le=100)] = 0.5
    """Points that it may cost on validation."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["exit", str(run), "--loss", f"{self.loss:g}"]

    def was_asked(self, values: Mapping[str, Any]) -> bool:
        return (
            values.get("chosen_on") == "validation"
            and values.get("split") == "test"
            and abs(float(values.get("loss_allowed", -1)) - self.loss / 100) < 1e-9
        )


class Activity(Measure):
    """Spikes and γ by layer and step: `bntt activity`."""

    kind: Literal["activity"]

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["activity", str(run)]

    def was_asked(self, values: Mapping[str, Any]) -> bool:
        return values.get("split") == "test"


class EnergyUse(Measure):
    """Operations, and what they cost by the tables that are built in, after all steps: `bntt energy`."""

    kind: Literal["energy"]

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["energy", str(run)]

    def was_asked(self, values: Mapping[str, Any]) -> bool:
        return values.get("split") == "test"


class Drift(Measure):
    """What enters the norms, against what they hold: `bntt drift`."""

    kind: Literal["drift"]

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["drift", str(run)]

    def was_asked(self, values: Mapping[str, Any]) -> bool:
        return values.get("split") == "validation"


class Equivalence(Measure):
    """The network beside what it folds to: `bntt equivalence`."""

    kind: Literal["equivalence"]
    images: Positive = 1000
    """Of validation."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["equivalence", str(run), "--images", str(self.images)]

    def was_asked(self, values: Mapping[str, Any]) -> bool:
        return values.get("split") == "validation" and values.get("images") == self.images


class NeuronPath(Measure):
    """One neuron's membrane and spikes: `bntt neuron`."""

    kind: Literal["neuron"]
    image: Annotated[int, Field(ge=0)] = 0
    """Its number in the test split."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["neuron", str(run), "--image", str(self.image)]


class Robust(Measure):
    """Accuracy on noisy images, the same noise for every run: `bntt robust`."""

    kind: Literal["robust"]
    sigmas: Annotated[list[Sigma], Field(min_length=1)] = Field(default=[0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0])
    images: Positive = 1000
    draws: Positive = 3

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        sigmas = [f"{sigma:g}" for sigma in self.sigmas]
        return ["robust", str(run), "--images", str(self.images), "--draws", str(self.draws), "--sigmas", *sigmas]


class Attack(Measure):
    """Accuracy under FGSM or PGD: `bntt attack`."""

    kind: Literal["attack"]
    eps: Annotated[list[Annotated[int, Field(ge=1, le=255)]], Field(min_length=1)] = Field(default=[2, 4, 8])
    """Of 255."""
    attacks: Annotated[list[Literal["fgsm", "pgd", "square"]], Field(min_length=1)] = Field(default=["fgsm"])
    images: Positive = 500
    eot: Positive = 16
    """Draws of noise behind a gradient; 1 where nothing is drawn."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        bounds, draws = [f"{eps}/255" for eps in self.eps], recipe.encoder.name in ("poisson", "poisson-unsigned")
        asked = ["--eps", *bounds, "--attack", *self.attacks, "--images", str(self.images)]
        return ["attack", str(run), *asked] + (["--eot", str(self.eot)] if draws else [])


class Retiming(Measure):
    """Accuracy at another number of steps than it was trained with: `bntt evaluate --num-steps`."""

    kind: Literal["retiming"]
    steps: Positive
    longer: Literal["", "hold", "interpolate", "re-estimate"] = ""
    """What added steps have; "" for fewer."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        longer = ["--longer", self.longer] if self.longer else []
        return ["evaluate", str(run), "--num-steps", str(self.steps), *longer]

    def written(self) -> str:
        return f"evaluation-{self.steps}-steps-{self.longer or 'truncate'}.json"

    def was_asked(self, values: Mapping[str, Any]) -> bool:
        return values.get("split") == "test"


class Stability(Measure):
    """Which starts fail, by network and rate, and what gradients those have that train: `bntt stability`."""

    kind: Literal["stability"]
    needs: ClassVar[str] = "recipe"
    networks: list[str] = Field(default=[])
    """By name: the depths; [] is the recipe's own."""
    rates: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=1)] = Field(default=[0.03, 0.3, 3.0])
    steps: Positive = 100
    """Updates of a start."""
    images: Positive = 6400
    """Of the training part."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        """The recipe lies in the run directory; its norm and seed are those of the start."""
        rates, networks = [f"{rate:g}" for rate in self.rates], ["--networks", *self.networks] * bool(self.networks)
        asked = [
            "--norms",
            recipe.network.norm,
            "--rates",
            *rates,
            *networks,
            "--steps",
            str(self.steps),
            "--images",
            str(self.images),
        ]
        return ["stability", str(run / "recipe.toml"), *asked, "--starts", "1", "--out", str(run / self._folder)]

    @property
    def _folder(self) -> str:
        """Of its own for every way to ask: cells of other settings would be refused."""
        return f"stability-{self.digest}"

    def written(self) -> str:
        return f"{self._folder}/stability.json"


MEASURES: dict[str, type[Measure]] = {
    "exit": Exit,
    "activity": Activity,
    "energy": EnergyUse,
    "drift": Drift,
    "equivalence": Equivalence,
    "neuron": NeuronPath,
    "robust": Robust,
    "attack": Attack,
    "retiming": Retiming,
    "stability": Stability,
}
"""Kinds by name. What a training ends with, ``evaluation.json``, is there without asking: the kind "evaluate"."""

EVALUATE = "evaluate"
"""The kind that needs no measure."""


def takes(kind: str, *, is_ann: bool, norm: str) -> bool:
    """Whether a kind can be measured on such a network: an ANN has no spikes, and not every norm has a γ of each step.

    >>> takes("activity", is_ann=True, norm="none"), takes("exit", is_ann=False, norm="bntt")
    (False, True)
    """
    if is_ann:
        return kind in ("energy", "robust", "attack", "stability")
    if kind == "exit":
        return norm.startswith("bntt") or norm == "tab"
    if kind in ("drift", "equivalence"):
        return norm not in ("none", "layer")
    return True
