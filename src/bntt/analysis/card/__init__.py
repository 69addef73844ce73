"""What a network needs of hardware: its size, its state, its work for one image."""
