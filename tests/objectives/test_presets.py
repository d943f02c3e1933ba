"""Complete objectives: the weighted sums that they stand for, and their configuration files, alone and layered."""

from dataclasses import replace
from functools import cache
from itertools import permutations
from pathlib import Path

import pytest
import torch
from random_outputs import outputs

from acl_lightning.cli.parsing.parser import Parser
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
    ContrastFirstObjective,
    CrossEntropy,
    CrossEntropyObjective,
    FixedExit,
    GateCorrectness,
    LeaveWeights,
    LinearWeight,
    MemoryQueue,
    RDrop,
    RDropObjective,
    ReachWeights,
    RegressionObjective,
    SampleWeightedObjective,
    SCLObjective,
    SCLQueueObjective,
    SelfDistillation,
    SelfDistillationObjective,
    SquaredError,
    SumOfTerms,
    SupervisedContrastive,
    Uniform,
    WeightedObjective,
)
from acl_lightning.training.module import ACLModule

CONF = Path(__file__).parents[2] / "conf"
FILES = sorted(path.stem for path in (CONF / "objective").glob("*.yaml"))

#: Each preset with other settings than its defaults, and the same objective from its parts.
PARTS = {
    "cross-entropy": (CrossEntropyObjective(0.1), WeightedObjective(protected=CrossEntropy(0.1))),
    "regression": (RegressionObjective(Uniform()), WeightedObjective(protected=SquaredError(), exit_weights=Uniform())),
    "SCL": (SCLObjective(0.2, 0.7), WeightedObjective(SupervisedContrastive(0.2), 0.7, convex=True)),
    "SCL as published": (SCLObjective(), WeightedObjective(SupervisedContrastive(0.3), 0.9, convex=True)),
    "ACF": (ACFObjective(0.2, 0.4, 0.3), WeightedObjective(ACF(0.2, 0.4), 0.3)),
    "ACL": (ACLObjective(0.2, 0.3, "samples"), WeightedObjective(ACLEmbed(0.2, "samples"), 0.3)),
    "ACL-CL": (
        ACLCrossLayerObjective(0.2, 0.3, 0.4, FixedExit(3), [1], detach=False),
        WeightedObjective([ACLEmbed(0.2), ACLCrossLayer(0.2, FixedExit(3), [1], detach=False)], [0.3, 0.4]),
    ),
    "learnt gate": (
        ACLGateObjective(0.2, 0.3, 0.4, exit_weights=Uniform()),
        WeightedObjective([ACLEmbed(0.2), GateCorrectness()], [0.3, 0.4], exit_weights=Uniform()),
    ),
    "self-distillation": (SelfDistillationObjective(2.0, 0.7), WeightedObjective(SelfDistillation(2.0), 0.7, True)),
    "RomeBERT": (SelfDistillationObjective(), WeightedObjective(SelfDistillation(3.0), 0.9, convex=True)),
    "R-Drop": (RDropObjective(0.7), WeightedObjective(RDrop(), 0.7)),
    "ACL and R-Drop": (
        ACLRDropObjective(0.2, 0.3, 0.4, 1),
        WeightedObjective(
            ACLEmbed(0.2), 0.3, protected=SumOfTerms([CrossEntropy(), RDrop()], [1.0, 0.4]), auxiliary_views=1
        ),
    ),
    "ACL and self-distillation": (
        ACLSelfDistillationObjective(0.2, 0.3, 2.0, 0.75),
        WeightedObjective(
            ACLEmbed(0.2), 0.3, protected=SumOfTerms([CrossEntropy(), SelfDistillation(2.0)], [0.25, 0.75])
        ),
    ),
    "SCL with a queue": (
        SCLQueueObjective(0.2, 0.7, 4, 0),
        WeightedObjective(SupervisedContrastive(0.2, MemoryQueue(4)), 0.7, convex=True),
    ),
    "ACL with a queue": (
        ACLQueueObjective(0.2, 0.3, "samples", 4, 0),
        WeightedObjective(ACLEmbed(0.2, "samples", MemoryQueue(4)), 0.3),
    ),
    "leave weights": (
        SampleWeightedObjective(),
        WeightedObjective(protected=CrossEntropy(sample_weights=LeaveWeights())),
    ),
    "reach weights": (
        SampleWeightedObjective(ReachWeights(0.3), 0.1),
        WeightedObjective(protected=CrossEntropy(0.1, sample_weights=ReachWeights(0.3))),
    ),
    "contrast first": (
        ContrastFirstObjective(0.2, 0.3, 0.8, LinearWeight(1.0, 0.5)),
        WeightedObjective(
            ACLEmbed(0.2), 0.3, schedule=LinearWeight(1.0, 0.5), protected_schedule=LinearWeight(until=0.8)
        ),
    ),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_preset_is_the_weighted_sum_of_its_terms(name):
    preset, parts = PARTS[name]
    out, labels = outputs(C=1 if name == "regression" else 3)
    out = replace(out, gates_EB=torch.linspace(-1, 1, 24).view(3, 8), views=preset.num_views)
    preset.progress = parts.progress = 0.4
    for objective in (preset, parts):
        objective.after_batch(out.detached(), labels)
    found, expected = preset(out, labels), parts(out, labels)
    assert {key: value.item() for key, value in found.items()} == {key: value.item() for key, value in expected.items()}


@cache
def parser() -> Parser:
    made = Parser(parser_mode="omegaconf+", exit_on_error=False)
    made.add_argument("--config", action="config")
    made.add_class_arguments(ACLModule, "model")
    made.add_argument("--trainer", type=dict)
    return made


def model(*files: str, arguments=()) -> dict:
    """The model's section of configuration files, with all defaults."""
    configs = [f"--config={CONF / file}.yaml" for file in files]
    return parser().parse_args([*configs, *arguments]).as_dict()["model"]


@cache
def alone(file: str) -> dict:
    return model(f"objective/{file}")


@pytest.mark.parametrize("file", FILES)
def test_over_the_configuration_of_glue_an_objective_keeps_its_exit_weights_only(file):
    layered = model("fit/glue", f"objective/{file}")
    assert layered["objective"]["init_args"].pop("exit_weights")["class_path"].endswith(".Uniform")
    assert layered["objective"] == {
        "class_path": alone(file)["objective"]["class_path"],
        "init_args": {k: v for k, v in alone(file)["objective"]["init_args"].items() if k != "exit_weights"},
    }
    assert layered["gradient_rule"] == alone(file)["gradient_rule"]


@pytest.mark.parametrize(("first", "second"), list(permutations(FILES, 2)))
def test_an_objective_over_another_inherits_nothing(first, second):
    layered = model(f"objective/{first}", f"objective/{second}")
    assert layered["objective"] == alone(second)["objective"]
    assert layered["gradient_rule"] == alone(second)["gradient_rule"]


def test_the_settings_of_a_preset_are_plain_arguments():
    found = model("objective/scl", arguments=["--model.objective.temperature=0.1", "--model.objective.weight=0.5"])
    assert found["objective"]["init_args"] | {"temperature": 0.1, "weight": 0.5} == found["objective"]["init_args"]


@pytest.mark.parametrize("file", FILES)
def test_a_configuration_file_names_its_objective_and_sets_no_argument(file):
    assert len((CONF / f"objective/{file}.yaml").read_text().splitlines()) <= 8
    assert "init_args" not in (CONF / f"objective/{file}.yaml").read_text()
