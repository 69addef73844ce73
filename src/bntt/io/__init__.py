"""File access: files are written whole or not at all, known by their digests, locked while they are written."""
