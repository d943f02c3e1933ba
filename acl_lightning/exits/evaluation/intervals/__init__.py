"""Intervals by the bootstrap, and the best constant answer."""
