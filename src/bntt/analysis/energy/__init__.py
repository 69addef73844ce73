"""Counts of synaptic operations and state updates, and their energy."""
