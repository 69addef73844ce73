"""Deployment of a run: accuracy against bytes and milliseconds, with and without an exit by γ."""
