"""Evaluation of exits from stored logits: sweep, operating points, budgets, intervals and calibration."""
