"""The error for data that is missing, damaged or not what it claims to be, and the way to raise it."""

from collections.abc import Iterator
from contextlib import contextmanager


class DataError(ValueError):
    """Error that names the file (and record, if there is one), the expected and the actual content, and the remedy.

    It is a ValueError, so that code which catches ValueError catches it.
    """


@contextmanager
def refusing(
    what: object, *kinds: type[Exception], remedy: str = "", error: type[Exception] = DataError
) -> Iterator[None]:
    """Raise ``error`` for these exceptions, by default for all: foreign bytes can cause any."""
    try:
        yield
    except (error, MemoryError):
        raise
    except Exception as failure:
        if kinds and not isinstance(failure, kinds):
            raise
        reason = (str(failure) or type(failure).__name__).splitlines()[0][:300]
        raise error(f"{what} ({reason}): {remedy}" if remedy else f"{what}: {reason}") from None
