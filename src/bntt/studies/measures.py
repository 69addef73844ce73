"""What a study measures on a run: a closed dictionary of kinds, each a verb of ``bntt`` with its arguments.

What a kind found is kept beside the run as ``measures/<kind>-<digest of the arguments>.json``; of runs that were kept
without their weights, what the verb itself wrote is taken where that says that it was asked for the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from bntt.analysis.energy.costs import Digital, cost_names, load_costs
from bntt.io.digest import digest_of_values
from bntt.runs.recipe.schema import Recipe
from bntt.runs.recipe.schema_data import Part, Positive

Values = Mapping[str, Any]
Sigma = Annotated[float, Field(ge=0, le=1000)]


class Measure(Part):
    """One kind, asked for in one way."""

    kind: str
    needs: ClassVar[str] = "run"
    """"run": a trained network; "recipe": it trains by itself."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        """The arguments of ``bntt``, for a run directory and its recipe."""
        raise NotImplementedError  # each kind has its own

    def written(self) -> str:
        """The file that the verb writes into the run directory."""
        return f"{self.kind}.json"

    def was_asked(self, values: Values, evaluation: Values) -> bool:
        """Whether numbers that the verb kept by itself are these, and of the weights that the evaluation is of."""
        return False

    @property
    def digest(self) -> str:
        """Of kind and arguments."""
        return digest_of_values(self.model_dump())[:12]

    @property
    def file(self) -> str:
        """Where it is kept, below the run directory."""
        return f"measures/{self.kind}-{self.digest}.json"


class Exit(Measure):
    """The exit that γ says, chosen on validation: `bntt exit`. What the verb kept may be of one draw of each image."""

    kind: Literal["exit"]
    loss: Annotated[float, Field(ge=0, le=100)] = 0.5
    """Points that it may cost on validation."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["exit", str(run), "--loss", f"{self.loss:g}"]

    def was_asked(self, values: Values, evaluation: Values) -> bool:
        return (
            values.get("chosen_on") == "validation"
            and values.get("split") == "test"
            and abs(float(values.get("loss_allowed", -1)) - self.loss / 100) < 1e-9
            and agree(values, evaluation, test_images="images", num_steps="steps")
            and (values.get("draws") == 1 or agree(values, evaluation, draws="draws"))
        )


class Activity(Measure):
    """Spikes and γ by layer and step: `bntt activity`."""

    kind: Literal["activity"]

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["activity", str(run)]

    def was_asked(self, values: Values, evaluation: Values) -> bool:
        return values.get("split") == "test" and values.get("draws", 1) == 1 and agree(values, evaluation)


class EnergyUse(Measure):
    """Operations, and what they cost by the tables that are built in, after all steps: `bntt energy`."""

    kind: Literal["energy"]

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["energy", str(run)]

    def was_asked(self, values: Values, evaluation: Values) -> bool:
        whole = {"steps": max(values.get("steps") or [0]) or None}
        return (
            values.get("split") == "test"
            and values.get("draws", 1) == 1
            and agree(values, evaluation)
            and agree(whole, evaluation, steps="steps")
            and ("costs" not in values or _are_built_in(values["costs"], is_ann=bool(values.get("is_ann"))))
        )


class Drift(Measure):
    """What enters the norms, against what they hold: `bntt drift`."""

    kind: Literal["drift"]
    drawn: ClassVar[int] = 500
    """Images that the distribution in one layer is of."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["drift", str(run)]

    def was_asked(self, values: Values, evaluation: Values) -> bool:
        """The distribution is of some images in one layer: as many, and in that one, that nobody has to name."""
        drawn, layers = values.get("distribution") or {}, list(values.get("layers") or [])
        return (
            values.get("split") == "validation"
            and agree(values, evaluation, epoch="epoch")
            and bool(layers)
            and drawn.get("layer") == layers[(len(layers) - 1) // 2]
            and drawn.get("images") == min(self.drawn, values.get("images", self.drawn))
        )


class Equivalence(Measure):
    """The network beside what it folds to: `bntt equivalence`."""

    kind: Literal["equivalence"]
    images: Positive = 1000
    """Of validation."""

    def command(self, run: Path, recipe: Recipe) -> list[str]:
        return ["equivalence", str(run), "--images", str(self.images)]

    def was_asked(self, values: Values, evaluation: Values) -> bool:
        same = values.get("split") == "validation" and values.get("images") == self.images
        return same and agree(values, evaluation, epoch="epoch")


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

    def was_asked(self, values: Values, evaluation: Values) -> bool:
        made = values.get("retimed") or {}
        return (
            values.get("split") == "test"
            and (made.get("steps"), made.get("how")) == (self.steps, self.longer or "truncate")
            and agree(values, evaluation, images="images", epoch="epoch", draws="draws", updates="updates")
        )


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
SAME = {"images": "images", "epoch": "epoch"}


def agree(values: Values, evaluation: Values, **keys: str) -> bool:
    """Whether numbers say the same of themselves as an evaluation, wherever both say something.

    Args:
        keys: what the evaluation calls a thing, by what the numbers call it; images and epoch by default.

    >>> agree({"images": 10}, {"images": 10000}), agree({"images": 10}, {}), agree({"n": 8}, {"steps": 8}, n="steps")
    (False, True, True)
    """
    pairs = [(values.get(one), evaluation.get(other)) for one, other in (keys or SAME).items()]
    return all(one == other for one, other in pairs if None not in (one, other))


def _are_built_in(costs: Values, *, is_ann: bool) -> bool:
    """Whether these are all tables of costs that come with the package, an ANN's without those that pay for spikes."""
    words, tables = {"source", "note"}, {name: load_costs(name) for name in cost_names()}
    taken = {
        name: one.model_dump(exclude=words) for name, one in tables.items() if isinstance(one, Digital) or not is_ann
    }
    return {name: {key: table[key] for key in table.keys() - words} for name, table in costs.items()} == taken


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
