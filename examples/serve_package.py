"""Answers of an adaptive ONNX package: `python examples/serve_package.py DIR`. Torch is not imported.

`python -m acl_lightning export RUN --out DIR --format onnx` writes such a package.
"""

import sys
from collections.abc import Sequence

from acl_lightning.serving import AdaptiveSession, Answers


def main(
    directory: str,
    operating_point: str | None = None,
    texts: Sequence[str] = ("A fine film.", "Dull from start to end."),
) -> Answers:
    """Print label, confidence and exit layer of each text."""
    session = AdaptiveSession(directory, mode="latency")
    point = operating_point or session.manifest.content.get("recommended_point")
    answers = session(texts, operating_point=point)  # None: all layers
    columns = zip(answers.labels, answers.confidences, answers.exit_layers, texts, strict=True)
    for label, confidence, layer, text in columns:
        print(f"{label} ({confidence:.2f}, layer {layer}): {text}")
    return answers


if __name__ == "__main__":
    main(*sys.argv[1:])
