"""Recordings of event cameras, their formats, and the frames made of them; each set registers itself."""

from bntt.data.events import formats as formats
