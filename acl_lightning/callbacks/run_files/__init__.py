"""Callbacks that write configuration, result and training curves into the run directory."""
