"""One error for data that is missing, damaged or not what it claims to be."""


class DataError(ValueError):
    """Error that names the file (and record, if there is one), the expected and the actual content, and the remedy.

    It is a ValueError, so that code which catches ValueError catches it.
    """
