"""Synaptic operations and state updates, counted."""
