"""A package whose operating point separates short texts, with a record of validation rows."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from packages import random_texts

#: Temperature of every exit, which spreads the confidences of the random encoder.
TEMPERATURE = 6.0


@pytest.fixture(scope="session")
def scored_package(tiny_package, tmp_path_factory) -> Path:
    """`tiny_package` with the operating point `half`, at which half of the validation texts leave at the first exit."""
    from acl_lightning.scoring import Tally
    from acl_lightning.serving import AdaptiveSession

    directory = tmp_path_factory.mktemp("scored") / "package"
    shutil.copytree(tiny_package, directory)
    texts = random_texts(400, seed=1)
    session = AdaptiveSession(directory, mode="throughput")
    logits_NC = session.exit_logits(session.encoder(texts)).logits_ENC[0].astype(np.float64)
    probabilities_NC = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    confidence_N = 1 / probabilities_NC.sum(axis=1)
    point = {
        "criterion": {"name": "confidence", "settings": {}},
        "threshold": float(np.median(confidence_N)),
        "temperatures": [TEMPERATURE] * 3,
    }
    _change(directory, {"half": point})
    tally = Tally(session.manifest.exit_layers, 3)
    tally.add(AdaptiveSession(directory, "half", "throughput")(texts))
    assert tally.exit_counts.min() > 0
    assert (tally.confidence_counts > 10).sum() > 3
    point["measured"] = {"quality": 0.9}
    point["validation"] = {
        "samples": len(texts),
        "exit_shares": (tally.exit_counts / len(texts)).tolist(),
        "confidence_counts": tally.confidence_counts.tolist(),
    }
    _change(directory, {"half": point})
    return directory


def _change(directory: Path, points: dict[str, object]) -> None:
    path = directory / "manifest.json"
    content = json.loads(path.read_text())
    content["operating_points"] |= points
    path.write_text(json.dumps(content | {"recommended_point": "half", "metric": "accuracy"}))
