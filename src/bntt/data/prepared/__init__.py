"""Datasets prepared once: verified tensor files with a manifest."""
