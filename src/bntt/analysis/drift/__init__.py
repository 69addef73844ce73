"""Drift of the normalised layers' inputs from the statistics that the layers hold."""
