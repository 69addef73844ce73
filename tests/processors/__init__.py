"""The fast suite as other processors would run it: ``python -m tests.processors``."""
