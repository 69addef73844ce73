"""Stability of training."""
