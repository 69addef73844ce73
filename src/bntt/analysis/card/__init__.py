"""What a chip sees of a network: its size, its state, its work for one image."""
