"""Context of a command that writes to a run directory: lock, signals, and the checkpoint from which it starts."""

from acl_lightning.runs.session.interruption import Termination, advice
from acl_lightning.runs.session.lock import locked
from acl_lightning.runs.session.session import Session
from acl_lightning.runs.session.start import AlreadyFinished, starting_checkpoint

__all__ = ["AlreadyFinished", "Session", "Termination", "advice", "locked", "starting_checkpoint"]
