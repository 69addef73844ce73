"""Training stability of a recipe over several starts."""
