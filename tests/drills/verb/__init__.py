"""A verb of one's own: ``gamma.py`` is all of it."""
