"""A fault: what is changed, and which tests must fail for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FUZZ = ("tests/fuzz/test_fuzz.py",)
ADVANCE = ("tests/nn/network/test_advance.py",)
LEASES = ("tests/engine/test_workspace.py",)


@dataclass(frozen=True)
class Mutation:
    """One change of one place."""

    name: str
    file: str
    """A pattern below ``src/bntt``; the old text occurs once in all files that it matches."""
    old: str
    new: str
    tests: tuple[str, ...]

    def place(self, root: Path) -> Path:
        """The file in which the old text occurs.

        Raises:
            ValueError: if it does not occur exactly once.
        """
        texts = {path: path.read_text(encoding="utf-8") for path in sorted((root / "src" / "bntt").glob(self.file))}
        count = {path: text.count(self.old) for path, text in texts.items() if self.old in text}
        if list(count.values()) != [1]:
            raise ValueError(f"{self.name}: its old text must occur once in {self.file}, found {count}")
        return next(iter(count))

    def apply(self, root: Path) -> Path:
        """Change the file in the copy of the project that is at ``root``."""
        path = self.place(root)
        path.write_text(path.read_text(encoding="utf-8").replace(self.old, self.new), encoding="utf-8")
        return path
