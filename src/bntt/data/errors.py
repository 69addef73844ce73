"""The error of ``bntt.data``, defined in ``bntt.io``, the lowest package that reads files."""

from bntt.io.errors import DataError as DataError
