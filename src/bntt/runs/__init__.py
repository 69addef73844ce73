"""Experiments as data: a recipe is one training run. Nothing below this room may import it."""
