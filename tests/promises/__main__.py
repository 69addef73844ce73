"""Measure promises: ``python -m tests.promises [NAME ...] [--long] [--page]``."""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from tests.promises import page
from tests.promises.promises import BY_NAME, PROMISES, apart


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.promises", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of promises; all that take no hours if left out")
    parser.add_argument("--long", action="store_true", help="measure those that take hours, too")
    parser.add_argument("--page", action="store_true", help="measure nothing: make the page of what was kept")
    chosen = parser.parse_args()
    if unknown := [name for name in chosen.names if name not in BY_NAME]:
        parser.error(f"no promise is called {', '.join(unknown)}: {', '.join(BY_NAME)}")
    commit, failed = page.commit(), 0
    for promise in [] if chosen.page else PROMISES:
        if promise.name not in chosen.names if chosen.names else promise.long and not chosen.long:
            continue
        began = time.monotonic()
        try:
            found = apart(promise.name)
        except Exception:  # one that cannot be measured for a fault of ours: the others are, and it stays as it was
            traceback.print_exc()
            failed += 1
            continue
        row = page.of(found, time.monotonic() - began, commit)
        page.save({**page.load(), promise.name: row})  # somebody else may have measured another meanwhile
        sys.stdout.write(page.describe(promise, row) + "\n")
        sys.stdout.flush()
    page.save(page.load())
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
