"""Operating points chosen after a run, from its stored exit logits: without the model and without Lightning."""

from acl_lightning.points.choose import ChosenPoints, choose_points

__all__ = ["ChosenPoints", "choose_points"]
