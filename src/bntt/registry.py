"""Registries of parts by name, one for each kind of part, for recipes and builders; users can add their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")
Entry = TypeVar("Entry")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to the parts of one kind, filled where they are defined.

    >>> shapes = Registry[str]("shape")
    >>> shapes.add("triangle", "three corners")
    >>> shapes.resolve("square")
    Traceback (most recent call last):
    ValueError: unknown shape 'square': choose one of triangle
    """

    def __init__(self, kind: str, entries: Mapping[str, T] | None = None) -> None:
        self.kind = kind
        """Kind of an entry, for messages."""
        self._entries: dict[str, T] = {}
        for name, entry in (entries or {}).items():
            self.add(name, entry)

    def add(self, name: str, entry: T) -> None:
        """Add an entry under a name."""
        if not name:
            raise ValueError(f"a {self.kind} needs a name")
        if name in self._entries:
            raise ValueError(f"there is a {self.kind} {name!r} already: choose another name")
        self._entries[name] = entry

    def remove(self, name: str) -> None:
        """Remove an entry."""
        del self._entries[name]

    def register(self, name: str) -> Callable[[Entry], Entry]:
        """Return a decorator that adds a definition under this name.

        >>> rules = Registry[object]("rule")
        >>> @rules.register("never")
        ... def never() -> bool:
        ...     return False
        >>> list(rules)
        ['never']
        """

        def decorate(entry: Entry) -> Entry:
            self.add(name, entry)  # type: ignore[arg-type]
            return entry

        return decorate

    def resolve(self, value: str | T) -> T:
        """Return the entry of a name; a value that is not a string is returned unchanged."""
        if not isinstance(value, str):
            return value
        if value not in self._entries:
            raise ValueError(f"unknown {self.kind} {value!r}: choose one of {', '.join(self._entries)}")
        return self._entries[value]

    def __getitem__(self, name: str) -> T:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}: {', '.join(self._entries)})"
