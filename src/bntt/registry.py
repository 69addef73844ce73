"""Registries of parts by name, one for each kind of part, for recipes and builders; users can add their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, signature
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Part = TypeVar("Part")
Definition = TypeVar("Definition", bound=Callable[..., Any])
Decorator = Callable[[Definition], Definition]


class Registry(dict[str, T]):
    """The parts of one kind by name, filled where they are defined.

    >>> shapes = Registry[str]("shape")
    >>> shapes.add("triangle", "three corners")
    >>> shapes["square"]
    Traceback (most recent call last):
    ValueError: unknown shape 'square': choose one of triangle
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None, error: type[ValueError] = ValueError) -> None:
        super().__init__(entries or {})
        self.kind, self.error = kind, error

    def add(self, name: str, entry: T) -> None:
        """Add an entry under a name."""
        if not name:
            raise ValueError(f"a {self.kind} needs a name")
        if name in self:
            raise ValueError(f"there is a {self.kind} {name!r} already: choose another name")
        self[name] = entry

    def register(self, name: str) -> Decorator[Any]:
        """Return a decorator that adds a definition under this name."""

        def decorate(entry: Definition) -> Definition:
            self.add(name, entry)  # type: ignore[arg-type]
            return entry

        return decorate

    def resolve(self, value: str | T) -> T:
        """Return the entry of a name; a value that is not a string is returned unchanged."""
        return self[value] if isinstance(value, str) else value

    def __missing__(self, name: str) -> T:
        raise self.error(f"unknown {self.kind} {name!r}: choose one of {', '.join(self)}")


@dataclass(frozen=True)
class Kind(Generic[Part]):
    """A registered definition, which is called with only the arguments that it names."""

    build: Callable[..., Part]
    offered: tuple[str, ...]
    """The arguments that the kinds of its registry can name, in positional order."""

    def __call__(self, *values: Any, **named: Any) -> Part:
        given = dict(zip(self.offered, values, strict=False)) | named
        return self.build(**{name: value for name, value in given.items() if self.takes(name)})

    def takes(self, name: str) -> bool:
        """Return True if the definition names an argument."""
        return name in signature(self.build).parameters


class Kinds(Registry[Kind[Part]]):
    """A registry of definitions that are called with arguments by name."""

    def __init__(self, kind: str, *offered: str) -> None:
        super().__init__(kind)
        self.offered = offered

    def __call__(self, name: str) -> Decorator[Any]:
        """Return a decorator that registers a definition, a class or a function, under this name."""

        def decorate(build: Definition) -> Definition:
            from torch import nn

            none = getattr(build, "__init__", None) is nn.Module.__init__  # (*args, **kwargs), of which it takes none
            for parameter in () if none else signature(build).parameters.values():
                needed = parameter.default is Parameter.empty and parameter.kind is not Parameter.VAR_POSITIONAL
                if needed and parameter.name not in self.offered:
                    raise ValueError(
                        f"the {self.kind} {name!r} needs '{parameter}', and is given {', '.join(self.offered)} by "
                        f"name: name those, and give others a default"
                    )
            self.add(name, Kind(build, self.offered))
            return build

        return decorate
