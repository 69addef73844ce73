"""Break the source in one place after another: ``python -m tests.mutations [--list] [NAME ...]``.

Every mutation must be ``caught by`` a test; one that SURVIVED means that a test is missing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.mutations.workbench import MUTATIONS, ROOT, Mutation, build_kernels, copy_project, first_failure


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", help="of mutations, or parts of names; all if left out")
    parser.add_argument("--list", action="store_true", help="only print the names")
    parser.add_argument("--trust", action="store_true", help="do not run the tests without a mutation first")
    chosen = parser.parse_args()
    mutations = [m for m in MUTATIONS if not chosen.names or any(name in m.name for name in chosen.names)]
    if chosen.list or not mutations:
        print("\n".join(m.name for m in (mutations or MUTATIONS)))
        return int(not mutations)
    if not chosen.trust and (failed := _result(None, tuple(sorted({t for m in mutations for t in m.tests})))):
        print(f"without a mutation {failed} fails already")
        return 1
    survived = 0
    for mutation in mutations:
        caught = _result(mutation, mutation.tests)
        survived += caught is None
        print(f"{mutation.name}: {f'caught by {caught}' if caught else 'SURVIVED'}", flush=True)
    print(f"{len(mutations)} mutations, {survived} survived")
    return int(survived > 0)


def _result(mutation: Mutation | None, tests: tuple[str, ...]) -> str | None:
    with tempfile.TemporaryDirectory(prefix="bntt-mutation-") as folder:
        root = Path(folder)
        copy_project(ROOT, root)
        changed = None if mutation is None else mutation.apply(root)
        if changed is None or changed.suffix != ".py":
            build_kernels(root)
        return first_failure(root, tests)


if __name__ == "__main__":
    sys.exit(main())
