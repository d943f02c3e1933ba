"""Life cycle of a run directory: lock, resume, interruption."""
