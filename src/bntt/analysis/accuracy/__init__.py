"""Accuracy over time, its intervals, and comparisons of networks and of starts."""
