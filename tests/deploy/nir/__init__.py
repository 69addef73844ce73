"""NIR graphs: what is written, read, refused, and what a simulator that knows nothing of the library makes of them."""
