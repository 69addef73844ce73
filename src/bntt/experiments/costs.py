"""What operations cost: tables in TOML, built in or yours, and the energy of one image by them."""

from __future__ import annotations

import difflib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from bntt.experiments.schema import Part, RecipeError

Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
LARGEST = 1 << 16
"""Bytes of a table."""


class Work(NamedTuple):
    """What a network does for one image, on average."""

    additions: float
    macs: float
    """Multiply-accumulates."""
    update_additions: float
    """Of norm, leak, threshold and reset."""
    update_multiplications: float
    spikes: float
    steps: int


class Energy(NamedTuple):
    """Of one image, in a table's unit."""

    synaptic: float
    """Of operations of the weights; of a neuromorphic table what spikes and their operations cost."""
    other: float
    """Of what neurons do beside; of a neuromorphic table what time costs."""

    @property
    def total(self) -> float:
        return self.synaptic + self.other


class Digital(Part):
    """A machine that pays for arithmetic: what every operation costs, in ``unit``."""

    kind: Literal["digital"]
    unit: Annotated[str, Field(min_length=1)]
    """Such as pJ."""
    source: Annotated[str, Field(min_length=1)]
    """Where the numbers are from."""
    note: str = ""
    mac: Cost
    addition: Cost
    multiplication: Cost

    def energy(self, work: Work) -> Energy:
        """Every operation at its price."""
        updates = work.update_additions * self.addition + work.update_multiplications * self.multiplication
        return Energy(work.additions * self.addition + work.macs * self.mac, updates)


class Neuromorphic(Part):
    """A machine that pays for events, and for time: ``E = spikes · spike + operations · operation + steps · step``."""

    kind: Literal["neuromorphic"]
    unit: Annotated[str, Field(min_length=1)]
    source: Annotated[str, Field(min_length=1)]
    note: str = ""
    spike: Cost
    operation: Cost
    """Of a spike at one weight, whatever its kind."""
    step: Cost
    """Static, of a time step."""

    def energy(self, work: Work) -> Energy:
        """Dynamic and static."""
        dynamic = work.spikes * self.spike + (work.additions + work.macs) * self.operation
        return Energy(dynamic, work.steps * self.step)


Table = Digital | Neuromorphic
_TABLES: TypeAdapter[Table] = TypeAdapter(Annotated[Table, Field(discriminator="kind")])


def load_costs(source: str | Path) -> Table:
    """A table by the name of one that comes with the package, or by the path of a TOML file.

    Raises:
        RecipeError: on an unknown name, bad TOML, or an entry that is missing, unknown, negative or not finite.

    >>> load_costs("digital-45nm").mac
    4.6
    """
    known = cost_names()
    if str(source) in known:
        text = files("bntt.experiments").joinpath(f"costs/{source}.toml").read_text(encoding="utf-8")
    else:
        text = _read_file(Path(source), known)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(f"{source} is not TOML: {error}") from None
    try:
        return _TABLES.validate_python(values)
    except ValidationError as error:
        first = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")[0]
        raise RecipeError(f"costs {source}: {_explain(first, values)}") from None


def cost_names() -> list[str]:
    """The tables that come with the package.

    >>> cost_names()
    ['digital-45nm', 'neuromorphic']
    """
    folder = files("bntt.experiments").joinpath("costs")
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml"))


def _read_file(path: Path, known: list[str]) -> str:
    if not path.is_file():
        near = difflib.get_close_matches(str(path), known, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise RecipeError(f"no table of costs {str(path)!r}: {hint}give a file, or one of {', '.join(known)}")
    if path.stat().st_size > LARGEST:
        raise RecipeError(f"{path} has {path.stat().st_size} bytes: a table of costs has at most {LARGEST}")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text: {error}") from None


KINDS: dict[str, type[Digital] | type[Neuromorphic]] = {"digital": Digital, "neuromorphic": Neuromorphic}


def _explain(error: Any, values: dict[str, Any]) -> str:
    if error["type"].startswith("union_tag"):
        return f"kind: must be one of {', '.join(KINDS)}, got {values.get('kind')!r}"
    key, known = str(error["loc"][-1]), list(KINDS[values["kind"]].model_fields)
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, known, n=1)
        return f"{key}: unknown key; " + (f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}")
    if error["type"] == "missing":
        return f"{key}: missing; a table of kind {values['kind']!r} has {', '.join(known)}"
    want = (
        "a finite number, 0 or more"
        if KINDS[values["kind"]].model_fields[key].annotation is float
        else "text that says it"
    )
    return f"{key}: must be {want}, got {error['input']!r}"
