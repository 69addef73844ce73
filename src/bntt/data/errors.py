"""One error for data that is missing, damaged or not what it claims to be."""


class DataError(ValueError):
    """The message names the file (and record, where there is one), what was expected, what came, and what to do."""
