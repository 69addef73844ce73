"""Deliberate faults in the source, each of which the tests must catch. ``python -m tests.mutations --help``."""
