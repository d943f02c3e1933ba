"""Loss terms, one per file."""
