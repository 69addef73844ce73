"""Tables of the costs of operations, in TOML, and the energy of one image computed from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.result import Record
from bntt.io.toml_file import TomlError, names_in, read_named, unknown_key

Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FOLDER = "analysis/energy/cost_tables"
LARGEST = 1 << 16
"""Largest size of a table's file, in bytes."""


class Work(NamedTuple):
    """The operations of a network for one image, on average."""

    additions: float
    macs: float
    """Number of multiply-accumulates."""
    update_additions: float
    """Additions by norm, leak, threshold and reset."""
    update_multiplications: float
    spikes: float
    steps: int


class Energy(NamedTuple):
    """The energy of one image, in the unit of the table used."""

    synaptic: float
    """Energy of weight operations; with a neuromorphic table, of spikes and their operations."""
    other: float
    """Energy of everything else that neurons do; with a neuromorphic table, of the time steps."""

    @property
    def total(self) -> float:
        return self.synaptic + self.other


class _Costs(Record):
    """The entries common to all tables; types are strict, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kind: str
    unit: Annotated[str, Field(min_length=1)]
    """Unit of the energies, for example pJ."""
    source: Annotated[str, Field(min_length=1)]
    """Source of the costs."""
    note: str = ""


class Digital(_Costs):
    """The costs of hardware that pays for arithmetic: cost of one operation of each kind, in ``unit``."""

    kind: Literal["digital"]
    mac: Cost
    addition: Cost
    multiplication: Cost

    def energy(self, work: Work) -> Energy:
        """Price every operation."""
        updates = work.update_additions * self.addition + work.update_multiplications * self.multiplication
        return Energy(work.additions * self.addition + work.macs * self.mac, updates)


class Neuromorphic(_Costs):
    """The costs of hardware that pays for events and for time.

    ``E = spikes · spike + operations · operation + steps · step``.
    """

    kind: Literal["neuromorphic"]
    spike: Cost
    operation: Cost
    """Cost of one spike meeting one weight, by addition or multiplication."""
    step: Cost
    """Cost of a time step, whatever happens in it."""

    def energy(self, work: Work) -> Energy:
        """Price the spikes and the time."""
        dynamic = work.spikes * self.spike + (work.additions + work.macs) * self.operation
        return Energy(dynamic, work.steps * self.step)


Costs = Annotated[Digital | Neuromorphic, Field(discriminator="kind")]
"""A table of costs of either kind."""
_COSTS: TypeAdapter[Digital | Neuromorphic] = TypeAdapter(Costs)


def load_costs(source: str | Path) -> Digital | Neuromorphic:
    """Read a table of costs, by the name of a built-in one or by the path of a TOML file.

    Raises:
        ArgumentError: on an unknown name, bad TOML, or an entry that is missing, unknown, negative or not finite.

    >>> load_costs("digital-45nm").mac
    4.6
    """
    try:
        values = read_named(source, FOLDER, "table of costs", LARGEST)
        return _COSTS.validate_python(values)
    except TomlError as error:
        raise ArgumentError(str(error)) from None
    except ValidationError as error:
        first = sorted(error.errors(), key=lambda found: found["type"] != "extra_forbidden")[0]
        raise ArgumentError(f"costs {source}: {_explain(first, values)}") from None


def cost_names() -> list[str]:
    """List the built-in tables of costs.

    >>> cost_names()
    ['digital-45nm', 'neuromorphic']
    """
    return names_in(FOLDER)


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
        else "non-empty text"
    )
    return f"{key}: must be {want}, got {error['input']!r}"
