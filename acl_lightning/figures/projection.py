"""Projections of vectors to two dimensions: principal components and t-SNE."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Vectors as rows, (n, D).
Vectors = NDArray[np.float64]


def principal_components(vectors_nD: Vectors, others_mD: Vectors) -> tuple[Vectors, Vectors, float]:
    """Project vectors on the first two principal components of `vectors_nD`.

    The signs are fixed: the largest loading of each component is positive. Coordinates along components without
    variance are 0.

    Args:
        vectors_nD: Vectors that determine the components.
        others_mD: Further vectors to project.

    Returns:
        The coordinates (n, 2) and (m, 2), and the share of the variance of `vectors_nD` along the two components
        (NaN without variance).
    """
    mean_D = vectors_nD.mean(axis=0)
    _, sigma, directions = np.linalg.svd(vectors_nD - mean_D, full_matrices=False)
    axes_2D = np.zeros((2, vectors_nD.shape[1]))
    for number, direction in enumerate(directions[:2]):
        if sigma[number] > 1e-10:
            axes_2D[number] = direction * np.sign(direction[np.abs(direction).argmax()])
    total = float(np.square(sigma).sum())
    share = float(np.square(sigma[:2]).sum()) / total if total > 1e-20 else float("nan")
    return (vectors_nD - mean_D) @ axes_2D.T, (others_mD - mean_D) @ axes_2D.T, share


def has_tsne() -> bool:
    """Whether scikit-learn (extra `tsne`) is installed."""
    try:
        import sklearn.manifold  # type: ignore[import-untyped]  # noqa: F401, PLC0415 - optional
    except ImportError:
        return False
    return True


def tsne(vectors_nD: Vectors, others_mD: Vectors, seed: int = 0) -> tuple[Vectors, Vectors] | None:
    """Embed both sets of vectors jointly with t-SNE (van der Maaten & Hinton, 2008).

    The perplexity is 30, or a third of the number of vectors if that is smaller. The result preserves neighbourhoods;
    distances between groups and the sizes of groups are not meaningful.

    Args:
        vectors_nD: First set of vectors.
        others_mD: Second set of vectors.
        seed: Seed of the optimisation.

    Returns:
        The coordinates (n, 2) and (m, 2); None without scikit-learn, with fewer than 4 vectors, or if all
        vectors are equal.
    """
    rows = np.concatenate([vectors_nD, others_mD])
    if not has_tsne() or len(rows) < 4 or not np.ptp(rows, axis=0).any():
        return None
    from sklearn.manifold import TSNE  # noqa: PLC0415 - optional

    start = principal_components(rows, rows[:0])[0]
    start *= 1e-4 / max(float(start[:, 0].std()), 1e-12)  # initial scale of the publication
    perplexity = min(30.0, (len(rows) - 1) / 3)
    embedded = TSNE(init=start.astype(np.float32), perplexity=perplexity, random_state=seed).fit_transform(rows)
    points: Vectors = np.asarray(embedded, dtype=np.float64)
    return points[: len(vectors_nD)], points[len(vectors_nD) :]
