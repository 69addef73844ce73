"""Tables of cheap rows as one case: a failure names its row."""

import inspect
from functools import wraps


def each(names, rows, ids=None):
    """Run a test for every row in turn; fixtures that it asks for are shared by all rows, but for ``tmp_path``."""
    given = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    table = list(rows)
    assert table, "a table without rows proves nothing"

    def decorate(test):
        @wraps(test)
        def run(**fixtures):
            for number, row in enumerate(table):
                own = dict(fixtures)
                if "tmp_path" in own:
                    own["tmp_path"] = own["tmp_path"] / f"row-{number}"
                    own["tmp_path"].mkdir()
                values = dict(zip(given, (row,) if len(given) == 1 else row, strict=True))
                try:
                    test(**own, **values)
                except BaseException as error:
                    error.add_note(f"in the row {values}")
                    raise

        signature = inspect.signature(test)
        run.__signature__ = signature.replace(
            parameters=[one for name, one in signature.parameters.items() if name not in given]
        )
        return run

    return decorate


rows = each
