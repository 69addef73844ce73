"""Answers of a network for an image, step by step."""
