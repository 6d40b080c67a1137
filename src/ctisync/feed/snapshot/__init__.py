"""A snapshot: its download, its file, and the way from its bytes to records."""
