"""Composition of batches: training batches by class or by length, evaluation batches by tokens."""

from acl_lightning.data.batches.class_balanced import ClassBalanced
from acl_lightning.data.batches.length_grouped import LengthGrouped
from acl_lightning.data.batches.token_budget import TokenBudgetSampler
from acl_lightning.data.batches.train_batches import Shuffled, TrainBatches

__all__ = ["ClassBalanced", "LengthGrouped", "Shuffled", "TokenBudgetSampler", "TrainBatches"]
