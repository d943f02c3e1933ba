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
        flops_E: FLOPs of a sample that leaves at each exit by a criterion, which evaluates every exit before it too.
        full_flops: FLOPs of the ordinary full-depth model with its one head.
        static_flops_E: FLOPs of a sample that leaves at each exit as a static exit, where no other exit is evaluated.
            None: not known (records of earlier versions); then static exits have the costs `flops_E`.

    Raises:
        UserError: no exits, layers that do not ascend within 1 ... depth, or another number of FLOPs than of exits.
    """

    layers_E: tuple[int, ...]
    depth: int
    flops_E: tuple[float, ...]
    full_flops: float
    static_flops_E: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        ascending = all(low < high for low, high in zip((0, *self.layers_E), self.layers_E, strict=False))
        if not self.layers_E or not ascending or self.layers_E[-1] > self.depth:
            raise UserError(
                f"exit layers that ascend within 1 ... {self.depth}", f"{self.layers_E}", "Count layers from 1."
            )
        for flops_E in (self.flops_E, self.flops_by(static=True)):
            if len(flops_E) != len(self.layers_E):
                raise UserError(
                    f"FLOPs of {len(self.layers_E)} exits", f"{len(flops_E)} values", "Give one value per exit."
                )

    def mean_layer(self, shares_E: tuple[float, ...]) -> float:
        """Mean exit layer when `shares_E` of the samples leave at each exit."""
        return sum(share * layer for share, layer in zip(shares_E, self.layers_E, strict=True))

    def flops_by(self, *, static: bool) -> tuple[float, ...]:
        """Return the FLOPs of leaving at each exit, by a criterion or as a static exit."""
        return self.static_flops_E if static and self.static_flops_E is not None else self.flops_E

    def mean_flops(self, shares_E: tuple[float, ...], *, static: bool = False) -> float:
        """Mean FLOPs per sample when `shares_E` of the samples leave at each exit.

        Args:
            shares_E: Share of the samples that leave at each exit.
            static: Whether they leave at a static exit, so that no other exit is evaluated.
        """
        return sum(share * flops for share, flops in zip(shares_E, self.flops_by(static=static), strict=True))
