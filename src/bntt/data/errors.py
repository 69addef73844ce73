"""The error of data, whose home is the lowest room that reads files."""

from bntt.io.errors import DataError as DataError
