"""What operations cost: tables in TOML, built in or yours, and the energy of one image by them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, TypeAdapter, ValidationError

from bntt.runs.recipe.packaged import names_in, read_named, unknown_key
from bntt.runs.recipe.schema import RecipeError
from bntt.runs.recipe.schema_data import Part

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


class _Costs(Part):
    """What every table says."""

    kind: str
    unit: Annotated[str, Field(min_length=1)]
    """Of an energy, such as pJ."""
    source: Annotated[str, Field(min_length=1)]
    """Where the numbers are from."""
    note: str = ""


class Digital(_Costs):
    """A machine that pays for arithmetic: what every operation costs, in ``unit``."""

    kind: Literal["digital"]
    mac: Cost
    addition: Cost
    multiplication: Cost

    def energy(self, work: Work) -> Energy:
        """Every operation at its price."""
        updates = work.update_additions * self.addition + work.update_multiplications * self.multiplication
        return Energy(work.additions * self.addition + work.macs * self.mac, updates)


class Neuromorphic(_Costs):
    """A machine that pays for events, and for time: ``E = spikes · spike + operations · operation + steps · step``."""

    kind: Literal["neuromorphic"]
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
    values = read_named(source, "runs/measures/cost_tables", "table of costs", LARGEST)
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
    return names_in("runs/measures/cost_tables")


KINDS: dict[str, type[Digital] | type[Neuromorphic]] = {"digital": Digital, "neuromorphic": Neuromorphic}


def _explain(error: Any, values: dict[str, Any]) -> str:
    if error["type"].startswith("union_tag"):
        return f"kind: must be one of {', '.join(KINDS)}, got {values.get('kind')!r}"
    key, known = str(error["loc"][-1]), list(KINDS[values["kind"]].model_fields)
    if error["type"] == "extra_forbidden":
        return f"{key}: {unknown_key(key, known)}"
    if error["type"] == "missing":
        return f"{key}: missing; a table of kind {values['kind']!r} has {', '.join(known)}"
    want = (
        "a finite number, 0 or more"
        if KINDS[values["kind"]].model_fields[key].annotation is float
        else "text that says it"
    )
    return f"{key}: must be {want}, got {error['input']!r}"
