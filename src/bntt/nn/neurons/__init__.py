"""Neurons as modules."""
