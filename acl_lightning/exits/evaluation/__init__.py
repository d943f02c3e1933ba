"""Evaluation of exits from stored logits: sweep, operating points, budgets, intervals, calibration, report."""
