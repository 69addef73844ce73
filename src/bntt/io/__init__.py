"""File access: files are written whole or not at all, identified by checksums, locked while they are written."""
