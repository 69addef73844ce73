"""Encoders: from samples to what drives the first layer at every step."""
