"""Measurements of runs."""
