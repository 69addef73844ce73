"""Drift of the normalised layers' inputs from the layers' running statistics."""
