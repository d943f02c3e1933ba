"""Complete objectives with the settings of their papers."""

from __future__ import annotations

from typing import Literal

from acl_lightning.objectives.exit_weights import ExitWeights
from acl_lightning.objectives.terms.contrastive.acf import ACF
from acl_lightning.objectives.terms.contrastive.acl_cross_layer import ACLCrossLayer
from acl_lightning.objectives.terms.contrastive.acl_embed import ACLEmbed
from acl_lightning.objectives.terms.contrastive.supervised_contrastive import SupervisedContrastive
from acl_lightning.objectives.terms.contrastive.teachers import Teacher
from acl_lightning.objectives.terms.cross_entropy import ClassWeights, CrossEntropy
from acl_lightning.objectives.terms.gate_correctness import GateCorrectness
from acl_lightning.objectives.terms.self_distillation import SelfDistillation
from acl_lightning.objectives.terms.squared_error import SquaredError
from acl_lightning.objectives.weighted_objective import WeightedObjective


class CrossEntropyObjective(WeightedObjective):
    """Cross-entropy over all exits: the baseline of every comparison.

    Args:
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(protected=CrossEntropy(label_smoothing, class_weights), exit_weights=exit_weights)


class RegressionObjective(WeightedObjective):
    """Squared error over all exits, for tasks whose labels are numbers.

    Args:
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(self, exit_weights: ExitWeights | None = None) -> None:
        super().__init__(protected=SquaredError(), exit_weights=exit_weights)


class SCLObjective(WeightedObjective):
    """`(1 - lambda) CE + lambda SCL` (Gunel et al., arXiv 2011.01403), at every exit.

    The defaults are the paper's usual setting. Several exits are our extension: the paper has a single classifier.

    Args:
        temperature: Temperature of the contrastive loss.
        weight: Weight lambda in [0, 1).
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.9,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            SupervisedContrastive(temperature),
            weight,
            convex=True,
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )


class ACFObjective(WeightedObjective):
    """`CE + lambda ACF` (Zhu et al., ICASSP 2023), at every exit. The weights are our reading.

    Args:
        temperature: Temperature of the InfoNCE loss.
        correlation_weight: Weight rho of the correlation penalty within ACF.
        weight: Weight lambda >= 0 of ACF.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        correlation_weight: float = 0.1,
        weight: float = 0.5,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            ACF(temperature, correlation_weight),
            weight,
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )


class ACLObjective(WeightedObjective):
    """`CE + lambda ACL-Embed` (Li & Zhu, arXiv 2602.03563), at every exit. Combine it with the gradient rule `ACLGrad`.

    The additive total and the default weight are our reading.

    Args:
        temperature: Temperature of ACL-Embed.
        weight: Weight lambda >= 0 of ACL-Embed.
        anchors: See `ACLEmbed`.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.5,
        anchors: Literal["all", "samples"] = "all",
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            ACLEmbed(temperature, anchors),
            weight,
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )


class ACLCrossLayerObjective(WeightedObjective):
    """`CE + lambda ACL-Embed + mu ACL-CL` (Li & Zhu, arXiv 2602.03563). Combine it with the gradient rule `ACLGrad`.

    The additive total and the default weights are our reading.

    Args:
        temperature: Temperature of both contrastive terms.
        weight: Weight lambda >= 0 of ACL-Embed.
        cross_layer_weight: Weight mu >= 0 of ACL-CL.
        teacher: See `ACLCrossLayer`.
        students: See `ACLCrossLayer`.
        detach: See `ACLCrossLayer`.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.5,
        cross_layer_weight: float = 0.5,
        teacher: Teacher | None = None,
        students: list[int] | None = None,
        detach: bool = True,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            [ACLEmbed(temperature), ACLCrossLayer(temperature, teacher, students, detach)],
            [weight, cross_layer_weight],
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )


class ACLGateObjective(WeightedObjective):
    """`ACLObjective` with a term that trains the learnt gate (BERxiT, Xin et al., EACL 2021).

    Needs `model.encoder.learnt_gate: true`.

    Args:
        temperature: Temperature of ACL-Embed.
        weight: Weight lambda >= 0 of ACL-Embed.
        gate_weight: Weight >= 0 of `GateCorrectness`, which reaches the parameters of the gate only.
        label_smoothing: See `CrossEntropy`.
        class_weights: See `CrossEntropy`.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 0.3,
        weight: float = 0.5,
        gate_weight: float = 1.0,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            [ACLEmbed(temperature), GateCorrectness()],
            [weight, gate_weight],
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )


class SelfDistillationObjective(WeightedObjective):
    """`(1 - g) CE + g T^2 KL` against the last exit, as in RomeBERT (Geng et al., 2021), with its g = 0.9 and T = 3.

    Args:
        temperature: Temperature T of the distillation.
        weight: Weight g in [0, 1).
        label_smoothing: See `CrossEntropy`; applies to the protected term, not to the distillation.
        class_weights: See `CrossEntropy`; applies to the protected term, not to the distillation.
        exit_weights: Weight of each exit. Default: `Ascending`.
    """

    def __init__(
        self,
        temperature: float = 3.0,
        weight: float = 0.9,
        label_smoothing: float = 0.0,
        class_weights: ClassWeights = None,
        exit_weights: ExitWeights | None = None,
    ) -> None:
        super().__init__(
            SelfDistillation(temperature),
            weight,
            convex=True,
            protected=CrossEntropy(label_smoothing, class_weights),
            exit_weights=exit_weights,
        )
