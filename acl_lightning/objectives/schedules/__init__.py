"""Schedules: the weight of a term as a function of the progress of the training."""
