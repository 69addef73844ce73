"""How steady training is."""
