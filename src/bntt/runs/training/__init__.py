"""Training a run: start, resume, checkpoints, requests from outside."""
