"""What a recipe may say: schema, defaults and documentation in one place; an unknown key is an error."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bntt.engine.compute import BackendName, Events, Precision
from bntt.experiments import names

Positive = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _recompute(value: object) -> object:
    """Said in one piece: of a union, the message of one member alone would be told."""
    if value in ("auto", "never") or (isinstance(value, int) and not isinstance(value, bool) and value >= 1):
        return value
    raise ValueError('must be "auto", "never" or a whole number of steps, 1 or more')


def _learn_leak(value: object) -> object:
    if isinstance(value, bool) or value in ("layer", "channel"):
        return value
    raise ValueError('must be true, false, "layer" or "channel"')


LARGEST = 1 << 20
"""Bytes of a recipe file."""


class RecipeError(ValueError):
    """A recipe that cannot be used; the message names the key, what was expected and what came."""


class Part(BaseModel):
    """A table of a recipe: frozen, strict about types, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Data(Part):
    """Which images."""

    name: Annotated[str, names.one_of(names.datasets)]
    """Dataset; `bntt data where` says what is there."""
    root: str = ""
    """Where its files are, if they are not prepared yet; "images" always needs it."""
    label: str = ""
    """What to call it beside numbers; the name by default."""
    augment: list[Annotated[str, names.one_of(names.augmentations)]] = []
    """Random changes of the training images, in this order; crop pads by 4, cutout fills a square of half the side,
    erase a rectangle in about half of the images."""
    mix: Annotated[str, names.one_of(names.mixes, or_none=True)] = ""
    """How each training image and its label are mixed with another's: "mixup", "cutmix", or "" for not at all."""
    mix_alpha: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """α: the first image's share is Beta(α, α); 1 is uniform."""
    validation: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training split that is held out; everything that is chosen is chosen on it."""


class Encoder(Part):
    """How an image becomes a drive over time."""

    name: Literal["poisson", "poisson-unsigned", "direct"] = "poisson"
    """"poisson" is signed and as released."""


class Network(Part):
    """The spiking network. Classes, channels and image size come from the data."""

    name: Annotated[str, names.one_of(names.models)]
    """The builder; `bntt list models` names them."""
    num_steps: Annotated[int, Field(ge=1, le=100_000)]
    """T."""
    leak: Fraction = 0.95
    """λ; 1 is an integrator without leak."""
    norm: Annotated[str, names.one_of(names.norms)] = "bntt"
    """The normalisation; `bntt list norms` names them."""
    width: Annotated[float, Field(gt=0, le=64)] = 1.0
    """Multiplies every layer's channels."""
    threshold: Annotated[float, Field(gt=0, lt=1e6)] = 1.0
    """θ."""
    fire: Annotated[str, names.one_of(names.fire_rules)] = "after"
    """Fire after integration (the paper) or before it (one step of delay per layer)."""
    reset: Annotated[str, names.one_of(names.resets)] = "soft"
    """What a spike takes from the potential: the threshold ("soft"), or all of it ("hard")."""
    surrogate: Annotated[str, names.one_of(names.surrogates)] = "triangle"
    """The gradient of a spike; "triangle" is the paper's."""
    learn_leak: Annotated[bool | Literal["layer", "channel"], BeforeValidator(_learn_leak)] = False
    """A learnable leak that starts at `leak`: one of each layer (true or "layer"), or one of every channel."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of spikes that one mask for all steps drops in training, after hidden layers that no pooling follows."""


class Train(Part):
    """The paper's SGD by default."""

    epochs: Positive
    batch_size: Positive
    lr: Rate = 0.3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Rate = 5e-4
    """On every parameter, γ too: early exit depends on it."""
    lr_drops: list[Annotated[int, Field(ge=0, le=100)]] = [50, 70, 90]
    """Percentages of the epochs at which the rate falls to a tenth."""


class Compute(Part):
    """How it is computed, not what: results differ in rounding alone."""

    backend: BackendName = "auto"
    """Fused kernels where they can run ("auto"), plain PyTorch ("reference"), or fused kernels or an error: those for
    processors ("cpu") or, never run on a GPU by their authors, those for GPUs ("triton")."""
    events: Events = "fixed"
    """When layers go event-driven: "fixed" is the same rule in every run, "measured" times both ways and may differ
    between two starts."""
    recompute: Annotated[Literal["auto", "never"] | int, BeforeValidator(_recompute)] = "auto"
    """Whether the kernels keep the currents of all time steps for the backward pass ("never"), or of so many steps at
    a time and compute them again; "auto" does that when memory would not suffice."""
    precision: Precision = "fp32"
    """Of the kernels' dense products: "bf16-grad" takes bfloat16 for gradients alone, the spikes stay those of fp32."""


class Evaluate(Part):
    """How accuracy is measured at the end."""

    draws: Annotated[int, Field(ge=1, le=1000)] = 5
    """Repetitions with fresh encoder noise."""
    batch_size: Positive = 250


class Recipe(Part):
    """One training run."""

    seed: Annotated[int, Field(ge=0, lt=1 << 63)] = 0
    """Of everything random: weights, order, augmentation, noise, the validation split."""
    notes: str = ""
    """What a reader should know; what the paper leaves open."""
    data: Data
    encoder: Encoder = Encoder()
    network: Network
    train: Train
    evaluate: Evaluate = Evaluate()
    compute: Compute = Compute()


def load_recipe(source: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe by the name of one that comes with the package, or by the path of a TOML file.

    Args:
        overrides: ``table.key=value`` each, put over what the file says before it is validated.

    Raises:
        RecipeError: on an unknown name, bad TOML, an unknown key (with the nearest known one) or a bad value.

    >>> load_recipe("demo", ["network.width=0.25"]).network.width
    0.25
    """
    known = recipe_names()
    if str(source) in known:
        text = files("bntt.experiments").joinpath(f"recipes/{source}.toml").read_text(encoding="utf-8")
    else:
        text = _read_file(Path(source), known)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}") from None
    named = {override.partition("=")[0].strip() for override in overrides}
    if named & {"data.name", "data.root"} and isinstance(values.get("data"), dict):
        values["data"].pop("label", None)  # the file's label is of the file's data
    for override in overrides:
        _apply(values, override)
    return parse_recipe(values)


def parse_recipe(values: dict[str, Any]) -> Recipe:
    """Validate a recipe given as nested dictionaries.

    Raises:
        RecipeError: naming the first key that is wrong.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        unknown_first = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise RecipeError(_explain(unknown_first[0])) from None


def recipe_names() -> list[str]:
    """The recipes that come with the package."""
    folder = files("bntt.experiments").joinpath("recipes")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as TOML with every default written out."""
    return tomli_w.dumps(recipe.model_dump())


def _read_file(path: Path, known: list[str]) -> str:
    if not path.is_file():  # also what a FIFO or a device is not
        near = difflib.get_close_matches(str(path), known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"no recipe {str(path)!r}: {hint}give a file, or one of {', '.join(known)}")
    if path.stat().st_size > LARGEST:
        raise RecipeError(f"{path} has {path.stat().st_size} bytes: a recipe has at most {LARGEST}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: {error}") from None


def _apply(values: dict[str, Any], override: str) -> None:
    """Set ``table.key=value``; the value is TOML, or text where it is not."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"-s {override}: expected key=value, such as train.epochs=3")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"-s {override}: {table} is a value, not a table")
    values[last] = value


def _explain(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] != "extra_forbidden":
        said = TOLD.get(error["type"], error["msg"]).removeprefix("Value error, ")
        return f"{where}: {said}" + ("" if error["type"] == "missing" else f", got {error['input']!r}")
    known = _fields(error["loc"][:-1])
    near = difflib.get_close_matches(str(error["loc"][-1]), known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key; {hint}"


TOLD = {
    "model_type": "must be a table of keys and values",
    "bool_type": "must be true or false",
    "string_type": "must be text, in quotation marks",
    "list_type": "must be a list, in brackets",
}
"""What pydantic says in Python's words, in those of a recipe."""


def _fields(location: tuple[str | int, ...]) -> list[str]:
    part: Any = Recipe
    for name in location:
        part = part.model_fields[str(name)].annotation
    return list(part.model_fields)
