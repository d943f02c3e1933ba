"""Aligned contrastive fine-tuning of single-exit and multi-exit encoders.

`encoders` steps a pretrained backbone and reads it out at every exit; `objectives` turns these outputs into loss terms;
`gradients` combines the gradients of the terms (ACL-Grad); `exits` measures exit criteria, selects operating points and
runs adaptive inference; `data` reads GLUE, tables and images; `training`, `callbacks`, `runs` and `cli` put them on
PyTorch Lightning.

The names in `__all__` are the public interface. Each is imported when it is first used, so that `import acl_lightning`
takes milliseconds: torch, transformers and lightning are imported with the first name that needs them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acl_lightning.data import GLUEDataModule, TableDataModule
    from acl_lightning.data.images import ImageDataModule
    from acl_lightning.encoders import Backbone, EncoderConfig, LoRASettings, MultiExitEncoder, register_backbone
    from acl_lightning.errors import UserError
    from acl_lightning.exits import (
        FPABEE,
        PCEE,
        Calibrated,
        Confidence,
        Criterion,
        Ensembled,
        Entropy,
        ExitCosts,
        ExitRecord,
        LearntEnsemble,
        LearntGate,
        Margin,
        MaxDrop,
        MinSpeedup,
        OperatingPoint,
        Patience,
        PrototypeMargin,
        Static,
        SweepReport,
        UniformEnsemble,
        evaluate,
        recommend,
        sweep,
    )
    from acl_lightning.exits import register as register_criterion
    from acl_lightning.exits.inference import AdaptiveRuntime, Decisions
    from acl_lightning.figures import speed_quality_figure
    from acl_lightning.gradients import ACLGrad, GradientRule, GradientStep, ProtectedPCGrad, StepReport, Sum
    from acl_lightning.objectives import (
        ACF,
        ACFObjective,
        ACLCrossLayer,
        ACLCrossLayerObjective,
        ACLEmbed,
        ACLGateObjective,
        ACLObjective,
        ACLQueueObjective,
        ACLRDropObjective,
        ACLSelfDistillationObjective,
        ConstantWeight,
        ContrastFirstObjective,
        CosineWeight,
        CrossEntropy,
        CrossEntropyObjective,
        GateCorrectness,
        LeaveWeights,
        LinearWeight,
        MemoryQueue,
        Objective,
        RDrop,
        RDropObjective,
        ReachWeights,
        RegressionObjective,
        SampleWeightedObjective,
        SampleWeights,
        SCLObjective,
        SCLQueueObjective,
        SelfDistillation,
        SelfDistillationObjective,
        SquaredError,
        SumOfTerms,
        SupervisedContrastive,
        Term,
        WeightedObjective,
        WeightSchedule,
    )
    from acl_lightning.outputs import ExitOutputs
    from acl_lightning.runs import load_run
    from acl_lightning.training.module import ACLModule
    from acl_lightning.training.optimization import OptimizationConfig

__version__ = "0.3.0"

__all__ = [
    "ACF",
    "FPABEE",
    "PCEE",
    "ACFObjective",
    "ACLCrossLayer",
    "ACLCrossLayerObjective",
    "ACLEmbed",
    "ACLGateObjective",
    "ACLGrad",
    "ACLModule",
    "ACLObjective",
    "ACLQueueObjective",
    "ACLRDropObjective",
    "ACLSelfDistillationObjective",
    "AdaptiveRuntime",
    "Backbone",
    "Calibrated",
    "Confidence",
    "ConstantWeight",
    "ContrastFirstObjective",
    "CosineWeight",
    "Criterion",
    "CrossEntropy",
    "CrossEntropyObjective",
    "Decisions",
    "EncoderConfig",
    "Ensembled",
    "Entropy",
    "ExitCosts",
    "ExitOutputs",
    "ExitRecord",
    "GLUEDataModule",
    "GateCorrectness",
    "GradientRule",
    "GradientStep",
    "ImageDataModule",
    "LearntEnsemble",
    "LearntGate",
    "LeaveWeights",
    "LinearWeight",
    "LoRASettings",
    "Margin",
    "MaxDrop",
    "MemoryQueue",
    "MinSpeedup",
    "MultiExitEncoder",
    "Objective",
    "OperatingPoint",
    "OptimizationConfig",
    "Patience",
    "ProtectedPCGrad",
    "PrototypeMargin",
    "RDrop",
    "RDropObjective",
    "ReachWeights",
    "RegressionObjective",
    "SCLObjective",
    "SCLQueueObjective",
    "SampleWeightedObjective",
    "SampleWeights",
    "SelfDistillation",
    "SelfDistillationObjective",
    "SquaredError",
    "Static",
    "StepReport",
    "Sum",
    "SumOfTerms",
    "SupervisedContrastive",
    "SweepReport",
    "TableDataModule",
    "Term",
    "UniformEnsemble",
    "UserError",
    "WeightSchedule",
    "WeightedObjective",
    "__version__",
    "evaluate",
    "load_run",
    "recommend",
    "register_backbone",
    "register_criterion",
    "speed_quality_figure",
    "sweep",
]

#: Module -> public names that it defines. `_RENAMED` holds those that have another name there.
_MODULES = {
    "acl_lightning.data": ("GLUEDataModule", "TableDataModule"),
    "acl_lightning.data.images": ("ImageDataModule",),
    "acl_lightning.encoders": (
        "Backbone",
        "EncoderConfig",
        "LoRASettings",
        "MultiExitEncoder",
        "register_backbone",
    ),
    "acl_lightning.errors": ("UserError",),
    "acl_lightning.exits": (
        "FPABEE",
        "PCEE",
        "Calibrated",
        "Confidence",
        "Criterion",
        "Ensembled",
        "Entropy",
        "ExitCosts",
        "ExitRecord",
        "LearntEnsemble",
        "LearntGate",
        "Margin",
        "MaxDrop",
        "MinSpeedup",
        "OperatingPoint",
        "Patience",
        "PrototypeMargin",
        "Static",
        "SweepReport",
        "UniformEnsemble",
        "evaluate",
        "recommend",
        "sweep",
    ),
    "acl_lightning.exits.inference": (
        "AdaptiveRuntime",
        "Decisions",
    ),
    "acl_lightning.figures": ("speed_quality_figure",),
    "acl_lightning.gradients": (
        "ACLGrad",
        "GradientRule",
        "GradientStep",
        "ProtectedPCGrad",
        "StepReport",
        "Sum",
    ),
    "acl_lightning.objectives": (
        "ACLQueueObjective",
        "ACLRDropObjective",
        "ACLSelfDistillationObjective",
        "ConstantWeight",
        "ContrastFirstObjective",
        "CosineWeight",
        "LeaveWeights",
        "LinearWeight",
        "MemoryQueue",
        "RDrop",
        "RDropObjective",
        "ReachWeights",
        "SCLQueueObjective",
        "SampleWeightedObjective",
        "SampleWeights",
        "SumOfTerms",
        "WeightSchedule",
        "SelfDistillationObjective",
        "SCLObjective",
        "RegressionObjective",
        "CrossEntropyObjective",
        "ACLObjective",
        "ACLGateObjective",
        "ACLCrossLayerObjective",
        "ACFObjective",
        "ACF",
        "ACLCrossLayer",
        "ACLEmbed",
        "CrossEntropy",
        "GateCorrectness",
        "Objective",
        "SelfDistillation",
        "SquaredError",
        "SupervisedContrastive",
        "Term",
        "WeightedObjective",
    ),
    "acl_lightning.outputs": ("ExitOutputs",),
    "acl_lightning.runs": ("load_run",),
    "acl_lightning.training.module": ("ACLModule",),
    "acl_lightning.training.optimization": ("OptimizationConfig",),
}
_RENAMED = {"register_criterion": ("acl_lightning.exits", "register")}
_LOCATIONS = {name: (module, name) for module, names in _MODULES.items() for name in names} | _RENAMED


def __getattr__(name: str) -> Any:
    """Import the public name `name` from the module that defines it."""
    if name not in _LOCATIONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LOCATIONS[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    """Return the public names and the names that are defined already."""
    return sorted({*globals(), *__all__})
