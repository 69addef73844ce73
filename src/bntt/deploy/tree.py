"""Frozen records as values that JSON can hold and separate arrays, and back; and the check of records' types."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import UnionType
from typing import Any, Literal, get_args, get_origin

import numpy as np

from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array

LARGEST = 1 << 31
"""No whole number reaches this."""


def to_tree(value: Any, arrays: dict[str, Array], place: str = "") -> Any:
    """Return a record without fields at their defaults; arrays go into ``arrays``, and their names take their places.

    >>> from bntt.deploy.layers import Weights
    >>> arrays = {}
    >>> to_tree(Weights(np.ones((2, 3)), groups=2), arrays, "conv1"), list(arrays)
    ({'values': 'conv1.values', 'groups': 2}, ['conv1.values'])
    """
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return place
    if isinstance(value, tuple | list):
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
    """Return what :func:`to_tree` turned into this value; what is no record, tuple or array stays as it is.

    >>> from bntt.deploy.layers import Pool
    >>> from_tree(Pool, {"kind": "max", "size": [2, 2]}, {})
    Pool(kind='max', size=(2, 2))
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return next((made for one in parts if (made := from_tree(one, value, arrays, place)) is not value), value)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        held = {field.name: field for field in dataclasses.fields(kind)}
        needed = {name for name, field in held.items() if field.default is field.default_factory}  # it has neither
        if needed <= value.keys() <= held.keys():
            made = {name: from_tree(held[name].type, one, arrays, f"{place}.{name}") for name, one in value.items()}
            for name, one in made.items():
                check_types(one, held[name].type, f"{place}.{name}")
            return kind(**made)  # type: ignore[operator] # a class
    elif origin is tuple and isinstance(value, list):
        kinds = parts[:1] * len(value) if parts[-1] is ... else parts
        if len(kinds) == len(value):
            pairs = enumerate(zip(kinds, value, strict=True))
            return tuple(from_tree(one, part, arrays, f"{place}[{number}]") for number, (one, part) in pairs)
    elif origin is np.ndarray and isinstance(value, str):
        return arrays.get(value, value)
    return value


def check_types(value: Any, kind: Any, place: str = "it") -> None:
    """Refuse a value that is not of its type, or a record with such a part.

    >>> check_types((2, 2.5), tuple[int, int], "size")
    Traceback (most recent call last):
    bntt.deploy.errors.DeployError: size[1] is 2.5, which is no int
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is UnionType:
        kind = next((one for one in parts if isinstance(value, get_origin(one) or one)), parts[0])
        return check_types(value, kind, place)
    inner: list[tuple[Any, Any, str]] = []
    if origin is tuple:
        held = value if isinstance(value, tuple | list) else ()
        kinds = parts[:1] * len(held) if parts[-1] is ... else parts
        fits = isinstance(value, tuple | list) and len(kinds) == len(held)
        inner = [(one, kind, f"{place}[{number}]") for number, (one, kind) in enumerate(zip(held, kinds, strict=False))]
    elif origin is dict:
        fits = isinstance(value, dict) and all(isinstance(one, str) for pair in value.items() for one in pair)
    elif origin is Literal:
        fits = isinstance(value, str) and value in parts
    elif kind in (int, float):
        whole = type(value) is int and abs(value) < LARGEST
        fits = whole or (kind is float and isinstance(value, float))
    else:
        fits = isinstance(value, origin or kind)
        if fits and dataclasses.is_dataclass(kind):
            named = [(field.name, field.type) for field in dataclasses.fields(kind)]
            inner = [(getattr(value, name), hint, f"{place}.{name}") for name, hint in named]
    if not fits:
        raise DeployError(f"{place} is {value!r:.80}, which is no {getattr(kind, '__name__', kind)}")
    for one in inner:
        check_types(*one)
    return None
