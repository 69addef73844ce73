"""Turn frozen records into values that JSON can hold and separate arrays; and back, checked against their types."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array

LARGEST = 1 << 31
"""No whole number reaches this."""


def to_tree(value: Any, arrays: dict[str, Array], place: str = "") -> Any:
    """Return a record as a value for JSON; every array goes into ``arrays``, and its name there takes its place.

    Fields at their defaults are left out.

    >>> from bntt.deploy.layers import Weights
    >>> arrays = {}
    >>> to_tree(Weights(np.ones((2, 3)), groups=2), arrays, "conv1"), list(arrays)
    ({'values': 'conv1.values', 'groups': 2}, ['conv1.values'])
    """
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return place
    if isinstance(value, tuple):
        return [to_tree(one, arrays, f"{place}.{number}".lstrip(".")) for number, one in enumerate(value)]
    if not dataclasses.is_dataclass(value):
        return value
    held = {field.name: (getattr(value, field.name), field.default) for field in dataclasses.fields(value)}
    return {
        name: to_tree(one, arrays, f"{place}.{name}".lstrip("."))
        for name, (one, default) in held.items()
        if isinstance(one, np.ndarray) or one != default
    }


def from_tree(kind: Any, value: Any, arrays: Mapping[str, Array], place: str = "it") -> Any:
    """Return the record of a type that :func:`to_tree` turned into this value.

    >>> from bntt.deploy.layers import Pool
    >>> from_tree(Pool, {"kind": "max", "size": [2, 2]}, {})
    Pool(kind='max', size=(2, 2))
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return from_tree(_chosen(parts, value, place), value, arrays, place)
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, arrays, place)
    if origin is tuple and isinstance(value, list):
        kinds = parts[:1] * len(value) if parts[1:] == (...,) else parts
        if len(kinds) == len(value):
            pairs = enumerate(zip(kinds, value, strict=True))
            return tuple(from_tree(one, part, arrays, f"{place}[{number}]") for number, (one, part) in pairs)
    elif origin is dict and isinstance(value, dict) and all(isinstance(one, str) for one in value.values()):
        return value
    elif origin is np.ndarray and isinstance(value, str) and value in arrays:
        return arrays[value]
    elif origin is Literal and value in parts and type(value) is type(parts[0]):
        return value
    elif kind is float and type(value) in (int, float):
        return float(value)
    elif kind in (int, str, bool, NoneType) and type(value) is kind and not (kind is int and abs(value) >= LARGEST):
        return value
    raise DeployError(f"{place} is {_short(value)}, which is no {getattr(kind, '__name__', kind)}")


def check_readable(record: Any) -> None:
    """Refuse a record that no reader would accept, before it overwrites one that readers accept.

    >>> from bntt.deploy.layers import Pool
    >>> check_readable(Pool("max", (2, 2)))
    """
    arrays: dict[str, Array] = {}
    try:
        tree = json.loads(json.dumps(to_tree(record, arrays), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise DeployError(f"it cannot be written: {error}") from None
    from_tree(type(record), tree, arrays)


@cache
def fields_of(kind: type) -> dict[str, Any]:
    """Return the types of a record's fields by name.

    >>> from bntt.deploy.layers import Sum
    >>> fields_of(Sum)
    {'name': <class 'str'>, 'reads': tuple[int, int]}
    """
    return get_type_hints(kind)


def _chosen(kinds: tuple[Any, ...], value: Any, place: str) -> Any:
    """Return the type of a union that a value is of: None, or the record that has its fields."""
    if value is None and NoneType in kinds:
        return NoneType
    found = [kind for kind in kinds if kind is not NoneType]
    if len(found) == 1:
        return found[0]
    for kind in found:
        if isinstance(value, dict) and _needed(kind) <= value.keys() <= fields_of(kind).keys():
            return kind
    raise DeployError(f"{place} is {_short(value)}, which is none of {', '.join(kind.__name__ for kind in found)}")


def _record(kind: Any, value: Any, arrays: Mapping[str, Array], place: str) -> Any:
    hints = fields_of(kind)
    if not isinstance(value, dict) or not _needed(kind) <= value.keys() <= hints.keys():
        raise DeployError(f"{place} is {_short(value)}, which is no {kind.__name__}")
    return kind(**{name: from_tree(hints[name], part, arrays, f"{place}.{name}") for name, part in value.items()})


def _needed(kind: Any) -> set[str]:
    missing = dataclasses.MISSING
    return {one.name for one in dataclasses.fields(kind) if one.default is missing and one.default_factory is missing}


def _short(value: Any) -> str:
    told = repr(value)
    return told if len(told) < 80 else f"{told[:76]} ..."
