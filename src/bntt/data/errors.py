"""The error of ``bntt.data``, defined in ``bntt.io``, the lowest package that reads files."""

from bntt.io.errors import DataError as DataError


class DamagedManifest(DataError):
    """A :class:`DataError` about one prepared dataset; others may be whole."""
