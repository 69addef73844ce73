"""Encoders: they turn samples into the input of the first layer at every step."""
