"""Recordings of event cameras, their formats, and the frames made of them."""
