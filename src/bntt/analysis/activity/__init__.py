"""Who fires, when, and which layers are unwell."""
