"""What leaving at each exit costs."""

from __future__ import annotations

from dataclasses import dataclass

from acl_lightning.errors import UserError


@dataclass(frozen=True)
class ExitCosts:
    """Layers and FLOPs spent on a sample that leaves at each exit.

    Attributes:
        layers_E: the layer after which each exit sits, counted from 1, ascending.
        depth: number of layers of the backbone, L.
        flops_E: FLOPs of a sample that leaves at each exit, the heads it passed included.
        full_flops: FLOPs of the ordinary full-depth model with its one head.

    Raises:
        UserError: no exits, layers that do not ascend within 1 ... depth, or another number of FLOPs than of exits.
    """

    layers_E: tuple[int, ...]
    depth: int
    flops_E: tuple[float, ...]
    full_flops: float

    def __post_init__(self) -> None:
        ascending = all(low < high for low, high in zip((0, *self.layers_E), self.layers_E, strict=False))
        if not self.layers_E or not ascending or self.layers_E[-1] > self.depth:
            raise UserError(
                f"exit layers that ascend within 1 ... {self.depth}", f"{self.layers_E}", "Count layers from 1."
            )
        if len(self.flops_E) != len(self.layers_E):
            raise UserError(
                f"FLOPs of {len(self.layers_E)} exits", f"{len(self.flops_E)} values", "Give one value per exit."
            )

    def mean_layer(self, shares_E: tuple[float, ...]) -> float:
        """Mean exit layer when `shares_E` of the samples leave at each exit."""
        return sum(share * layer for share, layer in zip(shares_E, self.layers_E, strict=True))

    def mean_flops(self, shares_E: tuple[float, ...]) -> float:
        """Mean FLOPs per sample when `shares_E` of the samples leave at each exit."""
        return sum(share * flops for share, flops in zip(shares_E, self.flops_E, strict=True))
