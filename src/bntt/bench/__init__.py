"""Rivals and timing: what `bntt bench` runs. Nothing here is needed to use the library."""
