"""Temporal normalisation modules."""
