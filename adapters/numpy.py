"""NumPy: the forms that people write by hand, with the gradients that they write beside them.

These are no part of the reference: the suite judges them like any framework. See gradparity.adapters.torch for how
adapter files are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradparity.adapter import THREADS, Adapter, AtEdges, Fn, Implementation, at_edges
from gradparity.arithmetic import Precision
from gradparity.misrounded import recorded
from gradparity.op import Array, Arrays, GradparityError, Raises


def value(fn: Fn, arrays: Arrays) -> tuple[Array, ...]:
    import numpy as np

    with np.errstate(all="ignore"):
        return tuple(map(np.asarray, fn(**arrays)))


def value_and_vjp(fn: Fn, arrays: Arrays, wrt: tuple[str, ...], g: Array) -> tuple[tuple[Array, ...], Arrays]:
    raise GradparityError("numpy differentiates nothing: give a vjp")


def softmax_pure_python(x: Any, axis: int) -> Any:
    import math

    import numpy as np

    def row(z: Any) -> Any:
        largest = max(z)
        exps = [math.exp(v - largest) for v in z]
        total = sum(exps)
        return [e / total for e in exps]

    return np.apply_along_axis(lambda z: row(z.tolist()), axis, x).astype(x.dtype) if x.size else x


def cross_entropy_loop(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    losses = np.zeros(len(x), x.dtype)
    for i in range(len(x)):
        shifted = x[i] - np.max(x[i])
        losses[i] = np.log(np.sum(np.exp(shifted))) - shifted[t[i]]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def cross_entropy_loop_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    dx = np.zeros_like(x)
    for i in range(len(x)):
        exps = np.exp(x[i] - np.max(x[i]))
        dx[i] = exps / np.sum(exps)
        dx[i, t[i]] -= 1
        dx[i] *= {"none": g[i] if g.ndim else g, "sum": g, "mean": g / x.dtype.type(len(x))}[reduction]
    return {"x": dx}


def cross_entropy_vectorised(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    shifted = x - x.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(x)), t]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def cross_entropy_vectorised_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    dx = np.exp(x - x.max(axis=1, keepdims=True))
    dx /= dx.sum(axis=1, keepdims=True)
    dx[np.arange(len(x)), t] -= 1
    scale = g[:, None] if reduction == "none" else g if reduction == "sum" else g / x.dtype.type(len(x))
    return {"x": dx * scale}


def spatial_cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    shifted = x - x.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - np.take_along_axis(shifted, t[:, None], 1)[:, 0]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(losses.size)}[reduction]


def spatial_cross_entropy_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    dx = np.exp(x - x.max(axis=1, keepdims=True))
    dx /= dx.sum(axis=1, keepdims=True)
    np.put_along_axis(dx, t[:, None], np.take_along_axis(dx, t[:, None], 1) - 1, 1)
    scale = g[:, None] if reduction == "none" else g if reduction == "sum" else g / x.dtype.type(t.size)
    return {"x": dx * scale}


def negative_log_likelihood(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    losses = -np.log(x[np.arange(len(x)), t])
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def negative_log_likelihood_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    dx = np.zeros_like(x)
    scale = g / x.dtype.type(len(x)) if reduction == "mean" else g
    dx[np.arange(len(x)), t] = -scale / x[np.arange(len(x)), t]
    return {"x": dx}


def binary_cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    losses = -t * np.log(x) - (1 - t) * np.log1p(-x)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(x.size)}[reduction]


def binary_cross_entropy_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    scale = g / x.dtype.type(x.size) if reduction == "mean" else g
    return {"x": scale * (x - t) / ((1 - x) * x)}


def categorical_cross_entropy(
    x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import numpy as np

    number = x.dtype.type
    if label_smoothing:
        t = t * number(1 - label_smoothing) + number(label_smoothing / t.shape[-1])
    weights = number(1 if alpha is None else alpha) * (1 - x) ** gamma
    losses = (-t * np.log(x) * weights).sum(-1)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / number(len(x))}[reduction]


def categorical_cross_entropy_vjp(
    g: Any, y: Any, x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import numpy as np

    number = x.dtype.type
    scale = number(1 if alpha is None else alpha) * (g / number(len(x)) if reduction == "mean" else g)
    scale = scale[:, None] if reduction == "none" else scale
    focus, log = (1 - x) ** gamma, np.log(x)
    slope = gamma * (1 - x) ** (gamma - 1) * log if gamma else 0 * x
    dt = -scale * focus * log * number(1 - label_smoothing)
    if label_smoothing:
        t = t * number(1 - label_smoothing) + number(label_smoothing / t.shape[-1])
    return {"x": scale * t * (slope - focus / x), "t": dt}


def layered_cross_entropy(x: Any, q: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True) + q
    losses = -np.log(p[np.arange(len(p)), t])
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction], p


def layered_cross_entropy_vjp(g: Any, y: Any, x: Any, q: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    e = np.exp(x - x.max(axis=1, keepdims=True))
    s = e / e.sum(axis=1, keepdims=True)
    dp = np.zeros_like(x)
    scale = g / x.dtype.type(len(x)) if reduction == "mean" else g
    dp[np.arange(len(x)), t] = -scale / (s + q)[np.arange(len(x)), t]
    return {"x": s * (dp - (s * dp).sum(axis=1, keepdims=True)), "q": dp}


def ragged_centroid_loop(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import numpy as np

    losses, centroids = np.zeros(len(x), x.dtype), np.zeros_like(x)
    for b in range(len(x)):
        for k in np.unique(t[b]):
            members = t[b] == k
            c = x[b, members].mean(axis=0)
            centroids[b, members] = c
            r = np.linalg.norm(x[b, members] - c, axis=1)
            losses[b] += np.mean(np.maximum(r - x.dtype.type(delta), 0) ** 2)
        if over_classes == "mean":
            losses[b] /= len(np.unique(t[b]))
    return losses if reduction == "none" else losses.mean(), centroids


def ragged_centroid_loop_vjp(g: Any, y: Any, x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import numpy as np

    dx = np.zeros_like(x)
    for b in range(len(x)):
        for k in np.unique(t[b]):
            members = t[b] == k
            d = x[b, members] - x[b, members].mean(axis=0)
            r = np.linalg.norm(d, axis=1, keepdims=True)
            w = np.maximum(r - x.dtype.type(delta), 0) / np.where(r > 0, r, 1) * d
            scale = g[b] if reduction == "none" else g / x.dtype.type(len(x))
            scale = scale / x.dtype.type(len(np.unique(t[b]))) if over_classes == "mean" else scale
            dx[b, members] = scale * 2 / x.dtype.type(members.sum()) * (w - w.mean(axis=0))
    return {"x": dx}


def ragged_centroid_sorted(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import numpy as np

    def means(sorted_rows: Any, ends: Any) -> Any:
        sums = np.cumsum(sorted_rows, axis=0)[ends]
        sums[1:] -= sums[:-1].copy()
        counts = np.diff(ends, prepend=-1).astype(x.dtype)
        return sums / counts.reshape(-1, *[1] * (sums.ndim - 1))

    losses, centroids = np.zeros(len(x), x.dtype), np.zeros_like(x)
    for b in range(len(x)):
        order = np.argsort(t[b], kind="stable")
        labels = t[b][order]
        ends = np.flatnonzero(np.append(labels[1:] != labels[:-1], True))
        own = np.searchsorted(labels[ends], labels)
        c = means(x[b][order], ends)[own]
        centroids[b][order] = c
        h = np.maximum(np.linalg.norm(x[b][order] - c, axis=1) - x.dtype.type(delta), 0)
        of_class = means(h**2, ends)
        losses[b] = of_class.sum() if over_classes == "sum" else of_class.sum() / x.dtype.type(len(ends))
    return losses if reduction == "none" else losses.mean(), centroids


def ragged_centroid_one_hot(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import numpy as np

    losses, centroids = np.zeros(len(x), x.dtype), np.zeros_like(x)
    for b in range(len(x)):
        own = t[b][:, None] == np.unique(t[b])
        one_hot, counts = own.astype(x.dtype), own.sum(axis=0).astype(x.dtype)  # ones in bfloat16 add up to 256
        c = one_hot @ ((one_hot.T @ x[b]) / counts[:, None])
        centroids[b] = c
        h = np.maximum(np.linalg.norm(x[b] - c, axis=1) - x.dtype.type(delta), 0)
        of_class = (one_hot.T @ h**2) / counts
        losses[b] = of_class.sum() if over_classes == "sum" else of_class.sum() / x.dtype.type(len(counts))
    return losses if reduction == "none" else losses.mean(), centroids


def multiclass_hinge_vectorised(x: Any, t: Any, weight: Any, p: int, margin: float, reduction: str) -> Any:
    import numpy as np

    rows = np.arange(len(x))
    h = np.maximum(x - x[rows, t][:, None] + x.dtype.type(margin), 0)
    h[rows, t] = 0
    losses = weight[t] * np.sum(h if p == 1 else h * h, axis=1)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def multiclass_hinge_vectorised_vjp(
    g: Any, y: Any, x: Any, t: Any, weight: Any, p: int, margin: float, reduction: str
) -> Any:
    import numpy as np

    rows = np.arange(len(x))
    z = x - x[rows, t][:, None] + x.dtype.type(margin)
    dx = (z > 0).astype(x.dtype) if p == 1 else 2 * np.maximum(z, 0)
    dx[rows, t] = 0
    dx *= ((g / x.dtype.type(len(x)) if reduction == "mean" else g) * weight[t])[:, None]
    dx[rows, t] = -dx.sum(axis=1)
    return {"x": dx}


def crammer_singer_hinge_vectorised(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import numpy as np

    rows = np.arange(len(x))
    wrong = x.copy()
    wrong[rows, t] = -np.inf
    losses = np.maximum(wrong.max(axis=1) - x[rows, t] + x.dtype.type(margin), 0)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def crammer_singer_hinge_vectorised_vjp(g: Any, y: Any, x: Any, t: Any, margin: float, reduction: str) -> Any:
    import numpy as np

    rows = np.arange(len(x))
    wrong = x.copy()
    wrong[rows, t] = -np.inf
    worst = wrong.argmax(axis=1)
    active = wrong[rows, worst] - x[rows, t] + x.dtype.type(margin) > 0
    g = np.where(active, g / x.dtype.type(len(x)) if reduction == "mean" else g, 0)
    dx = np.zeros_like(x)
    dx[rows, worst] += g
    dx[rows, t] -= g
    return {"x": dx}


def softmax_regression_loop(x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    n, loss = len(x), x.dtype.type(0)
    for i in range(n):
        scores = (x[i] @ w).astype(x.dtype)  # NumPy multiplies bfloat16 matrices into float32
        scores = scores - np.max(scores)
        loss = loss + (np.log(np.sum(np.exp(scores))) - scores[t[i]])
    return loss / x.dtype.type(n) + x.dtype.type(reg) * np.sum(w * w)


def softmax_regression_loop_vjp(g: Any, y: Any, x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    n, dx, dw = x.dtype.type(len(x)), np.zeros_like(x), np.zeros_like(w)
    for i in range(len(x)):
        scores = (x[i] @ w).astype(x.dtype)
        exps = np.exp(scores - np.max(scores))
        for j in range(w.shape[1]):
            slope = g * ((exps[j] / np.sum(exps) - (j == t[i])) / n)
            dw[:, j] += slope * x[i]
            dx[i] += slope * w[:, j]
    return {"x": dx, "w": dw + 2 * (g * x.dtype.type(reg)) * w}


def softmax_regression_vectorised(x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    scores = (x @ w).astype(x.dtype)
    shifted = scores - np.max(scores, axis=1, keepdims=True)
    losses = np.log(np.sum(np.exp(shifted), axis=1)) - shifted[np.arange(len(t)), t]
    return np.sum(losses) / x.dtype.type(len(t)) + x.dtype.type(reg) * np.sum(w * w)


def softmax_regression_vectorised_vjp(g: Any, y: Any, x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    scores = (x @ w).astype(x.dtype)
    p = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    p = p / np.sum(p, axis=1, keepdims=True)
    p[np.arange(len(t)), t] -= 1
    p = g * (p / x.dtype.type(len(t)))
    return {"x": (p @ w.T).astype(x.dtype), "w": (x.T @ p).astype(x.dtype) + 2 * (g * x.dtype.type(reg)) * w}


def euclidean_norm(x: Any) -> Any:
    import numpy as np

    return np.sqrt((x * x).sum(axis=-1))


def euclidean_norm_vjp(g: Any, y: Any, x: Any) -> Any:
    import numpy as np

    scale = g / np.where(y == 0, y.dtype.type(1), y)
    return {"x": x * (scale[..., None] if x.ndim else scale)}


def pairwise_distance(x: Any, other: Any, eps: float) -> Any:
    import numpy as np

    d = x - other + x.dtype.type(eps)
    return np.sqrt((d * d).sum(axis=-1))


def pairwise_distance_vjp(g: Any, y: Any, x: Any, other: Any, eps: float) -> Any:
    import numpy as np

    d = (x - other + x.dtype.type(eps)) * (g / np.where(y == 0, y.dtype.type(1), y))[:, None]
    return {"x": d, "other": -d}


def segment_sum_loop(x: Any, ids: Any, count: int) -> Any:
    import numpy as np

    y = np.zeros((count, *x.shape[1:]), x.dtype)
    for row, s in zip(x, ids, strict=True):
        y[s] += row
    return y


def segment_sum_loop_vjp(g: Any, y: Any, x: Any, ids: Any, count: int) -> Any:
    return {"x": g[ids]}


def segment_mean_loop(x: Any, ids: Any, count: int) -> Any:
    import numpy as np

    rows = [x[ids == s] for s in range(count)]
    return np.stack([np.sum(own, axis=0) / x.dtype.type(max(len(own), 1)) for own in rows])


def segment_mean_loop_vjp(g: Any, y: Any, x: Any, ids: Any, count: int) -> Any:
    import numpy as np

    return {"x": np.stack([g[s] / x.dtype.type(np.sum(ids == s)) for s in ids]) if len(ids) else np.zeros_like(x)}


def pca_snapshot(x: Any, components: int) -> Any:
    import numpy as np

    m = x.mean(axis=0)
    c = x - m
    values, vectors = np.linalg.eigh(c @ c.T)
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    w = c.T @ vectors / np.sqrt(values)
    z = c @ w
    return z @ w.T + m, values, np.einsum("ik,jk->kij", z, z)


def pca_covariance(x: Any, components: int) -> Any:
    import numpy as np

    m = x.mean(axis=0)
    c = x - m
    values, vectors = np.linalg.eigh(c.T @ c)
    values, w = values[::-1][:components], vectors[:, ::-1][:, :components]
    z = c @ w
    return z @ w.T + m, values, np.einsum("ik,jk->kij", z, z)


def pca_svd(x: Any, components: int) -> Any:
    import numpy as np

    m = x.mean(axis=0)
    u, s, w = np.linalg.svd(x - m, full_matrices=False)
    z = u[:, :components] * s[:components]
    return z @ w[:components] + m, s[:components] ** 2, np.einsum("ik,jk->kij", z, z)


def focal_loss(x: Any, t: Any, alpha: float | None, gamma: int, reduction: str) -> Any:
    import numpy as np

    z = np.where(t == 1, x, -x)
    e = np.exp(-np.abs(z))
    losses = (np.log1p(e) - np.minimum(z, 0)) * (np.where(z < 0, 1, e) / (1 + e)) ** gamma
    losses = losses if alpha is None else np.where(t == 1, x.dtype.type(alpha), 1 - x.dtype.type(alpha)) * losses
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(x.size)}[reduction]


def focal_loss_vjp(g: Any, y: Any, x: Any, t: Any, alpha: float | None, gamma: int, reduction: str) -> Any:
    import numpy as np

    z = np.where(t == 1, x, -x)
    e = np.exp(-np.abs(z))
    p, q = np.where(z >= 0, 1, e) / (1 + e), np.where(z < 0, 1, e) / (1 + e)
    scale = g / x.dtype.type(x.size) if reduction == "mean" else g
    scale = scale if alpha is None else np.where(t == 1, x.dtype.type(alpha), 1 - x.dtype.type(alpha)) * scale
    dz = scale * q**gamma * (gamma * (p * (np.minimum(z, 0) - np.log1p(e))) - q)
    return {"x": np.where(t == 1, dz, -dz)}


def one_vs_rest(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    z = np.where(np.arange(x.shape[1]) == t[:, None], x, -x)
    losses = (np.log1p(np.exp(-np.abs(z))) - np.minimum(z, 0)).sum(axis=1)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def one_vs_rest_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    e = np.exp(-np.abs(x))
    p, one_hot = np.where(x >= 0, 1, e) / (1 + e), (np.arange(x.shape[1]) == t[:, None]).astype(x.dtype)
    scale = g[:, None] if reduction == "none" else g if reduction == "sum" else g / x.dtype.type(len(x))
    return {"x": scale * p - scale * one_hot}


def logistic_regression_loop(x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    loss = x.dtype.type(0)
    for i in range(len(x)):
        score = (x[i] @ w).astype(x.dtype)  # NumPy multiplies bfloat16 vectors into float32
        z = score if t[i] == 1 else -score
        loss = loss + (np.log1p(np.exp(-np.abs(z))) - np.minimum(z, 0))
    return loss / x.dtype.type(len(x)) + x.dtype.type(reg) * np.sum(w * w)


def logistic_regression_loop_vjp(g: Any, y: Any, x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    dx, dw = np.zeros_like(x), np.zeros_like(w)
    for i in range(len(x)):
        score = (x[i] @ w).astype(x.dtype)
        z = score if t[i] == 1 else -score
        e = np.exp(-np.abs(z))
        q = (1 if z < 0 else e) / (1 + e)
        slope = g * ((-q if t[i] == 1 else q) / x.dtype.type(len(x)))
        dw += slope * x[i]
        dx[i] = slope * w
    return {"x": dx, "w": dw + 2 * (g * x.dtype.type(reg)) * w}


def logistic_regression_vectorised(x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    scores = (x @ w).astype(x.dtype)
    losses = np.maximum(scores, 0) - scores * t + np.log1p(np.exp(-np.abs(scores)))
    return np.sum(losses) / x.dtype.type(len(x)) + x.dtype.type(reg) * np.sum(w * w)


def logistic_regression_vectorised_vjp(g: Any, y: Any, x: Any, w: Any, t: Any, reg: float) -> Any:
    import numpy as np

    scores = (x @ w).astype(x.dtype)
    e = np.exp(-np.abs(scores))
    s = g * ((np.where(scores >= 0, 1, e) / (1 + e) - t) / x.dtype.type(len(x)))
    return {"x": np.outer(s, w), "w": (x.T @ s).astype(x.dtype) + 2 * (g * x.dtype.type(reg)) * w}


def categorical_hinge(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    rows, wrong = np.arange(len(x)), x.copy()
    wrong[rows, t] = 0
    losses = np.maximum(wrong.max(axis=1) - x[rows, t] + 1, 0)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def categorical_hinge_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    rows, wrong = np.arange(len(x)), x.copy()
    wrong[rows, t] = 0
    worst = wrong.argmax(axis=1)
    active = wrong[rows, worst] - x[rows, t] + 1 > 0
    g = np.where(active, g / x.dtype.type(len(x)) if reduction == "mean" else g, 0)
    dx = np.zeros_like(x)
    dx[rows, worst] = g
    dx[rows, t] = -g
    return {"x": dx}


def multilabel_margin_loop(x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    losses = np.zeros(len(x), x.dtype)
    for i, row in enumerate(t.tolist()):
        listed = row[: [*row, -1].index(-1)]
        for j in listed:
            for k in set(range(len(row))) - set(listed):
                losses[i] += np.maximum(1 - x[i, j] + x[i, k], 0)
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / x.dtype.type(len(x))}[reduction]


def multilabel_margin_loop_vjp(g: Any, y: Any, x: Any, t: Any, reduction: str) -> Any:
    import numpy as np

    dx = np.zeros_like(x)
    for i, row in enumerate(t.tolist()):
        scale = {"none": g[i] if g.ndim else g, "sum": g, "mean": g / x.dtype.type(len(x))}[reduction]
        listed = row[: [*row, -1].index(-1)]
        for j in listed:
            for k in set(range(len(row))) - set(listed):
                if 1 - x[i, j] + x[i, k] > 0:
                    dx[i, j] -= scale
                    dx[i, k] += scale
    return {"x": dx}


NO_GRADIENT = {"*/vjp/*": "written without a gradient"}
NO_EIGH = {"*float16/*": "numpy.linalg decomposes no matrix of 16-bit numbers"}
IN_THE_DTYPE = {"*float16/*": Precision("C")}
WORDS = "added up in the dtype itself, so many terms, or so large ones, have no bound: there is nothing to judge"
NO_BOUND = dict.fromkeys(
    (
        "bfloat16/*/classes-32000",
        "bfloat16/value/classes-1000-equal",
        "float16/value/mean-large-losses",
        "*float16/*/features-300",
    ),
    WORDS,
)
FEW_TERMS = NO_BOUND | dict.fromkeys(("bfloat16/*/*scale-10", "bfloat16/*/*digits", "bfloat16/*/coarse"), WORDS)

INF = float("inf")
UNCLIPPED = {"floor": -INF, "ceiling": INF, "at_clip": 1.0}
OF_PROBABILITIES = {"normalised": False, **UNCLIPPED, "every_log": False}

NO_INDEX = Raises("IndexError")
LABELS = {"bad_label": {"*/label-minus-1": "wraps", "*": NO_INDEX}, "label_dtype": "accepted"}
REFUSES_A_COLUMN = LABELS | {"label_shape": {"*/labels-2d": Raises("ValueError"), "*": NO_INDEX}}
# a column of labels is said to be taken for a row of them, and is not: known failures
TAKES_A_COLUMN = LABELS | {"label_shape": {"*/labels-2d": "accepted", "*": NO_INDEX}}

# What is due at the edges that frameworks decide about: see gradparity list ops.
AT_EDGES: AtEdges = {
    "no_classes": (("empty", ("softmax/*", "categorical_cross_entropy/*", "multilabel_margin/*")),),
    "number": (
        (Raises("AxisError"), ("softmax/*",)),
        ("row", ("euclidean_norm/*",)),
    ),
    "nan_probability": (("nan", ("binary_cross_entropy/*",)),),
    "not_finite": ((Raises("LinAlgError"), ("pca/*",)),),
    "bad_label": (({"*/label-minus-1": "wraps", "*": Raises("IndexError")}, ("softmax_regression/*",)),),
    "negative_label": (("a class", ("ragged_centroid/*",)),),
    "label_dtype": (("accepted", ("ragged_centroid/*", "softmax_regression/*")),),
    "label_shape": (
        (Raises("IndexError"), ("ragged_centroid/*.ragged_centroid_loop",)),
        (
            Raises("ValueError"),
            (
                "ragged_centroid/*.ragged_centroid_sorted",
                "ragged_centroid/*.ragged_centroid_one_hot",
                "softmax_regression/*.softmax_regression_vectorised",
            ),
        ),
        ({"*/labels-2d": "accepted", "*": Raises("IndexError")}, ("softmax_regression/*.softmax_regression_loop",)),
    ),
    "integer_input": (
        ("float64", ("softmax/*", "cross_entropy/*", "spatial_cross_entropy/*", "focal_loss/*", "one_vs_rest/*")),
    ),
    "mixed": (
        (
            "float64",
            (
                "binary_cross_entropy/*",
                "layered_cross_entropy/*",
                "categorical_cross_entropy/*",
                "softmax_regression/*",
                "multiclass_hinge/*",
                "pairwise_distance/*",
                "logistic_regression/*",
            ),
        ),
        ("float32", ("focal_loss/*",)),
    ),
}

IMPLEMENTATIONS: tuple[Implementation, ...] = (
    Implementation("softmax", fn=softmax_pure_python, precision=IN_THE_DTYPE, unsupported=NO_GRADIENT | NO_BOUND),
    Implementation(
        "cross_entropy",
        fn=cross_entropy_loop,
        vjp=cross_entropy_loop_vjp,
        precision=IN_THE_DTYPE,
        unsupported=NO_BOUND,
        edges=REFUSES_A_COLUMN,
    ),
    Implementation(
        "cross_entropy",
        fn=cross_entropy_vectorised,
        vjp=cross_entropy_vectorised_vjp,
        precision=IN_THE_DTYPE,
        unsupported=NO_BOUND,
        edges=TAKES_A_COLUMN,
    ),
    Implementation(
        "spatial_cross_entropy",
        fn=spatial_cross_entropy,
        vjp=spatial_cross_entropy_vjp,
        precision=IN_THE_DTYPE,
        unsupported=NO_BOUND,
    ),
    Implementation(
        "ragged_centroid",
        fn=ragged_centroid_loop,
        vjp=ragged_centroid_loop_vjp,
        precision=IN_THE_DTYPE,
        unsupported=NO_BOUND,
    ),
    Implementation(
        "ragged_centroid",
        fn=ragged_centroid_sorted,
        road="cumulative-sums",
        precision=IN_THE_DTYPE,
        unsupported=NO_GRADIENT | {"float16/value/b32-*": WORDS},
    ),
    Implementation(
        "ragged_centroid", fn=ragged_centroid_one_hot, precision=IN_THE_DTYPE, unsupported=NO_GRADIENT | NO_BOUND
    ),
    Implementation(
        "binary_cross_entropy",
        fn=binary_cross_entropy,
        vjp=binary_cross_entropy_vjp,
        conventions={**UNCLIPPED, "least_log": -INF, "least_variance": 0.0},
        road="fused",
        precision=IN_THE_DTYPE,
    ),
    Implementation(
        "layered_cross_entropy",
        fn=layered_cross_entropy,
        vjp=layered_cross_entropy_vjp,
        conventions=OF_PROBABILITIES,
        precision=IN_THE_DTYPE,
        edges=TAKES_A_COLUMN,
    ),
    Implementation(
        "negative_log_likelihood",
        fn=negative_log_likelihood,
        vjp=negative_log_likelihood_vjp,
        conventions=OF_PROBABILITIES,
        precision=IN_THE_DTYPE,
        edges=TAKES_A_COLUMN,
    ),
    Implementation(
        "categorical_cross_entropy",
        fn=categorical_cross_entropy,
        vjp=categorical_cross_entropy_vjp,
        conventions={"normalised": False, **UNCLIPPED, "nan_clip": 0.0},
        precision=IN_THE_DTYPE,
    ),
    Implementation(
        "softmax_regression",
        fn=softmax_regression_loop,
        vjp=softmax_regression_loop_vjp,
        conventions={"penalty": 1.0},
        precision=IN_THE_DTYPE,
        unsupported=FEW_TERMS,
    ),
    Implementation(
        "softmax_regression",
        fn=softmax_regression_vectorised,
        vjp=softmax_regression_vectorised_vjp,
        conventions={"penalty": 1.0},
        precision=IN_THE_DTYPE,
        unsupported=FEW_TERMS,
    ),
    Implementation(
        "crammer_singer_hinge",
        fn=crammer_singer_hinge_vectorised,
        vjp=crammer_singer_hinge_vectorised_vjp,
        conventions={"kink": 0.0, "tie": "first", "nan_margin": 0.0},
        precision={"*float16/*": Precision("C", sharp=True)},
        edges=TAKES_A_COLUMN
        | {"label_shape": {"*/value/labels-2d": "accepted", "*/labels-2d": Raises("ValueError"), "*": NO_INDEX}},
    ),
    Implementation(
        "multiclass_hinge",
        fn=multiclass_hinge_vectorised,
        vjp=multiclass_hinge_vectorised_vjp,
        conventions={"kink": 0.0, "nan_margin": 0.0, "nan_square": float("nan"), "divisor": "one"},
        precision={"*float16/*": Precision("C", sharp=True)},
        edges=REFUSES_A_COLUMN,
    ),
    Implementation(
        "euclidean_norm",
        fn=euclidean_norm,
        vjp=euclidean_norm_vjp,
        road="through-the-square",
        conventions={"at_zero": 0.0},
        precision=IN_THE_DTYPE,
    ),
    Implementation(
        "pairwise_distance",
        fn=pairwise_distance,
        vjp=pairwise_distance_vjp,
        road="through-the-square",
        conventions={"at_zero": 0.0},
        precision=IN_THE_DTYPE,
    ),
    Implementation("pca", fn=pca_snapshot, unsupported=NO_EIGH | NO_GRADIENT),
    Implementation("pca", fn=pca_covariance, road="covariance", unsupported=NO_EIGH | NO_GRADIENT),
    Implementation("pca", fn=pca_svd, road="svd", unsupported=NO_EIGH | NO_GRADIENT),
    Implementation("segment_sum", fn=segment_sum_loop, vjp=segment_sum_loop_vjp, precision=IN_THE_DTYPE),
    Implementation(
        "segment_mean",
        fn=segment_mean_loop,
        vjp=segment_mean_loop_vjp,
        conventions={"empty": 0.0},
        precision=IN_THE_DTYPE,
    ),
    Implementation("focal_loss", fn=focal_loss, vjp=focal_loss_vjp, precision=IN_THE_DTYPE, unsupported=NO_BOUND),
    Implementation(
        "one_vs_rest",
        fn=one_vs_rest,
        vjp=one_vs_rest_vjp,
        road="margin-and-target",
        conventions={"divisor": "one"},
        precision=IN_THE_DTYPE,
        unsupported=NO_BOUND,
        edges=LABELS | {"bad_label": "no class", "label_shape": {"*/labels-2d": "accepted", "*": Raises("ValueError")}},
    ),
    Implementation(
        "logistic_regression",
        fn=logistic_regression_loop,
        vjp=logistic_regression_loop_vjp,
        road="of-the-margin",
        conventions={"penalty": 1.0},
        precision=IN_THE_DTYPE,
        unsupported=FEW_TERMS,
    ),
    Implementation(
        "logistic_regression",
        fn=logistic_regression_vectorised,
        vjp=logistic_regression_vectorised_vjp,
        road="sigmoid-and-target",
        conventions={"penalty": 1.0},
        precision=IN_THE_DTYPE,
        unsupported=FEW_TERMS,
    ),
    Implementation(
        "categorical_hinge",
        fn=categorical_hinge,
        vjp=categorical_hinge_vjp,
        conventions={"kink": 0.0, "tie": "first", "nan_margin": 0.0},
        precision={"*float16/*": Precision("C", sharp=True)},
        edges=TAKES_A_COLUMN
        | {"label_shape": {"*/value/labels-2d": "accepted", "*/labels-2d": Raises("ValueError"), "*": NO_INDEX}},
    ),
    Implementation(
        "multilabel_margin",
        fn=multilabel_margin_loop,
        vjp=multilabel_margin_loop_vjp,
        conventions={"kink": 0.0, "nan_margin": 0.0, "divisor": "one"},
        precision={"*float16/*": Precision("C", sharp=True)},
    ),
)
IMPLEMENTATIONS = at_edges(IMPLEMENTATIONS, AT_EDGES)

ADAPTERS = (
    Adapter(
        "numpy", "eager", "numpy", IMPLEMENTATIONS, value, value_and_vjp,
        show={"tensor": "{}", "value": "y = call({args})"}, alias="np", process=THREADS, default=True,
        known_failures=str(Path(__file__).with_suffix(".toml")), baseline=recorded(__file__),
    ),
)  # fmt: skip
