"""Random networks, used in random ways: the fused path against the plain one. ``python -m tests.fuzz --help``."""
