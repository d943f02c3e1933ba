"""Complete objectives beyond the papers of this project: R-Drop, memory queues, sample weights, schedules, and sums."""

from __future__ import annotations

from typing import Literal

from acl_lightning.objectives.exit_weights import ExitWeights
from acl_lightning.objectives.schedules.base import WeightSchedule
from acl_lightning.objectives.schedules.ramps import LinearWeight
from acl_lightning.objectives.terms.contrastive.acl_embed import ACLEmbed
from acl_lightning.objectives.terms.contrastive.memory_queue import MemoryQueue
from acl_lightning.objectives.terms.contrastive.supervised_contrastive import SupervisedContrastive
from acl_lightning.objectives.terms.cross_entropy import ClassWeights, CrossEntropy
from acl_lightning.objectives.terms.r_drop import RDrop
from acl_lightning.objectives.terms.sample_weights import LeaveWeights, SampleWeights
from acl_lightning.objectives.terms.self_distillation import SelfDistillation
from acl_lightning.objectives.terms.sum_of_terms import SumOfTerms
from acl_lightning.objectives.weighted_objective import WeightedObjective


class RDropObjective(WeightedObjective):
    """`CE + alpha RDrop` (Liang et al., NeurIPS 2021), at every exit; see `RDrop` for the scale of alpha.

    Args:
        weight: Weight alpha >= 0 of R-Drop.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        weight: float = 0.5,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            RDrop(), weight, protected=CrossEntropy(label_smoothing, class_weights), exit_weights=exit_weights
        )


class ACLRDropObjective(WeightedObjective):
    """`(CE + alpha RDrop) + lambda ACL-Embed`; the sum in brackets is protected. Combine it with `ACLGrad`.

    Args:
        temperature: Temperature of ACL-Embed.
        weight: Weight lambda >= 0 of ACL-Embed.
        r_drop_weight: Weight alpha >= 0 of R-Drop.
        auxiliary_views: Number of views whose samples ACL-Embed compares: 1, or null for both.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.5,
        r_drop_weight: float = 0.5,
        auxiliary_views: int | None = None,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            ACLEmbed(temperature),
            weight,
            protected=SumOfTerms([CrossEntropy(label_smoothing, class_weights), RDrop()], [1.0, r_drop_weight]),
            exit_weights=exit_weights,
            auxiliary_views=auxiliary_views,
        )


class ACLSelfDistillationObjective(WeightedObjective):
    """`((1 - g) CE + g T^2 KL) + lambda ACL-Embed`; the sum in brackets is protected. Combine it with `ACLGrad`.

    The sum in brackets is that of `SelfDistillationObjective`.

    Args:
        temperature: Temperature of ACL-Embed.
        weight: Weight lambda >= 0 of ACL-Embed.
        distillation_temperature: Temperature T of the distillation.
        distillation_weight: Weight g in [0, 1] of the distillation.
        label_smoothing: See `CrossEntropy`; applies to the cross-entropy, not to the distillation.
        class_weights: See `CrossEntropy`; applies to the cross-entropy, not to the distillation.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.5,
        distillation_temperature: float = 3.0,
        distillation_weight: float = 0.9,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        parts = [CrossEntropy(label_smoothing, class_weights), SelfDistillation(distillation_temperature)]
        super().__init__(
            ACLEmbed(temperature),
            weight,
            protected=SumOfTerms(parts, [1.0 - distillation_weight, distillation_weight]),
            exit_weights=exit_weights,
        )


class SCLQueueObjective(WeightedObjective):
    """`SCLObjective` that also compares with samples of earlier batches; see `MemoryQueue`.

    Args:
        temperature: Temperature of the contrastive loss.
        weight: Weight lambda in [0, 1).
        queue_size: Largest number of samples in the queue.
        warmup_batches: Number of batches that enter the queue before it is used.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.9,
        queue_size: int = 1024,
        warmup_batches: int = 100,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            SupervisedContrastive(temperature, MemoryQueue(queue_size, warmup_batches)),
            weight,
            convex=True,
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )


class ACLQueueObjective(WeightedObjective):
    """`ACLObjective` that also compares with samples of earlier batches; see `MemoryQueue`. Combine it with `ACLGrad`.

    Args:
        temperature: Temperature of ACL-Embed.
        weight: Weight lambda >= 0 of ACL-Embed.
        anchors: See `ACLEmbed`.
        queue_size: Largest number of samples in the queue.
        warmup_batches: Number of batches that enter the queue before it is used.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.5,
        anchors: Literal["all", "samples"] = "all",
        queue_size: int = 1024,
        warmup_batches: int = 100,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            ACLEmbed(temperature, anchors, MemoryQueue(queue_size, warmup_batches)),
            weight,
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )


class SampleWeightedObjective(WeightedObjective):
    """Cross-entropy over all exits with samples weighted by where they would leave; see `SampleWeights`.

    Args:
        sample_weights: Weights of the samples. Default (None): `LeaveWeights` with its defaults.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        sample_weights: SampleWeights | None = None,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            protected=CrossEntropy(label_smoothing, class_weights, sample_weights or LeaveWeights()),
            exit_weights=exit_weights,
        )


class ContrastFirstObjective(WeightedObjective):
    """`r CE + lambda ACL-Embed` with r from 0 to 1: contrast first, then cross-entropy. Combine it with `ACLGrad`.

    r rises linearly over the first part of the training. With `schedule` the weight lambda changes, too.

    Args:
        temperature: Temperature of ACL-Embed.
        weight: Weight lambda >= 0 of ACL-Embed.
        until: Share of the training after which the cross-entropy has its full weight, in [0, 1].
        schedule: Schedule of lambda. Default (None): constant.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.5,
        until: float = 0.3,
        schedule: WeightSchedule | None = None,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            ACLEmbed(temperature),
            weight,
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
            schedule=schedule,
            protected_schedule=LinearWeight(until=until),
        )
