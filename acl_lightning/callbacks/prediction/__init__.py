"""Prediction with early exits, written row by row so that a killed prediction continues."""
