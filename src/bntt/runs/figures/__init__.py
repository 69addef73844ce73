"""Pictures of runs and of what was measured on them."""
