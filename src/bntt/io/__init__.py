"""Files: whole or not there, known by their digests, locked while they are written."""
