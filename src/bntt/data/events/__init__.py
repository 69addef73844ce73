"""Recordings of event cameras, their formats, and the frames made of them; each set registers itself."""

from bntt.data.events import event_sets as event_sets
