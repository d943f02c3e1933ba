"""Callbacks that save the state of a training, and continue it."""
