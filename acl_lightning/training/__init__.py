"""LightningModules for training and evaluation, optimisation and training stages."""
