"""PyTorch.

Every adapter file has the same functions in the same order: how arrays go in and come out, the value, the value and
its gradient, then the functions that people compose where the framework has none, then the list of implementations.
Read two of them side by side and the differences are those of the frameworks. A framework is imported by the first
function of it that is called, never by importing an adapter.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from gradparity.adapter import (
    COMPILED,
    THREADS,
    Adapter,
    AtEdges,
    Fn,
    Implementation,
    at_edges,
    axis_of_rows,
    redeclared,
)
from gradparity.arithmetic import FUSED, STEPWISE, Precision
from gradparity.misrounded import recorded
from gradparity.op import DERIVED, Array, Arrays, FallbackError, Raises, UnsupportedError

# torch.compile goes on in eager mode once it has compiled a function for so many shapes: never
LIMITS, MANY = ("cache_size_limit", "accumulated_cache_size_limit"), 10**9


def to_framework(a: Array) -> Any:
    """torch refuses negative strides, and bfloat16 from NumPy, which is passed as its bits."""
    import numpy as np
    import torch

    a = np.ascontiguousarray(a) if any(s < 0 for s in a.strides) else a
    return torch.from_numpy(a.view(np.int16)).view(torch.bfloat16) if a.dtype.kind == "V" else torch.from_numpy(a)


def to_numpy(x: Any) -> Array:
    import ml_dtypes
    import torch

    x = x.detach().cpu()
    return x.view(torch.int16).numpy().view(ml_dtypes.bfloat16) if x.dtype == torch.bfloat16 else x.numpy()


def plain(f: Fn) -> Fn:
    return f


def value(fn: Fn, arrays: Arrays, compiled: Any = plain) -> tuple[Array, ...]:
    return tuple(map(to_numpy, compiled(fn)(**{k: to_framework(v) for k, v in arrays.items()})))


def value_and_vjp(
    fn: Fn, arrays: Arrays, wrt: tuple[str, ...], g: Array, compiled: Any = plain
) -> tuple[tuple[Array, ...], Arrays]:
    import torch

    args = {k: to_framework(v).requires_grad_(k in wrt) for k, v in arrays.items()}
    ys = compiled(fn)(**args)
    dx = torch.autograd.grad(ys[0], [args[k] for k in wrt], to_framework(g), materialize_grads=True)
    return tuple(map(to_numpy, ys)), dict(zip(wrt, map(to_numpy, dx), strict=True))


def jvp(fn: Fn, arrays: Arrays, wrt: str, tangent: Array, g: Array | None) -> Array:
    import torch

    f, x = function_of(fn, arrays, wrt)
    return to_numpy(torch.func.jvp(f, (x,), (to_framework(tangent),))[1])


def hvp(fn: Fn, arrays: Arrays, wrt: str, tangent: Array, g: Array | None) -> Array:
    """Forward mode over the gradient."""
    import torch

    f, x = function_of(fn, arrays, wrt)
    cotangent = to_framework(g)
    return to_numpy(torch.func.jvp(lambda x: torch.func.vjp(f, x)[1](cotangent)[0], (x,), (to_framework(tangent),))[1])


def hvp_reverse(fn: Fn, arrays: Arrays, wrt: str, tangent: Array, g: Array | None) -> Array:
    """The gradient of the gradient times the tangent, 0 where the gradient does not depend on x."""
    import torch

    f, x = function_of(fn, arrays, wrt)
    x.requires_grad_()
    (dx,) = torch.autograd.grad(f(x), x, to_framework(g), create_graph=True)
    if not dx.requires_grad:
        return to_numpy(torch.zeros_like(x))
    return to_numpy(torch.autograd.grad(dx, x, to_framework(tangent), materialize_grads=True)[0])


def derived(what: str) -> Any:
    """The verb of op.DERIVED."""
    return {"jvp": jvp, "hvp": hvp, "hvp-reverse": hvp_reverse}[what]


def function_of(fn: Fn, arrays: Arrays, wrt: str) -> tuple[Fn, Any]:
    """The first output as a function of one argument, and the argument."""
    args = {k: to_framework(v) for k, v in arrays.items()}
    x = args.pop(wrt)
    return lambda x: fn(**args, **{wrt: x})[0], x


def aot(f: Fn) -> Fn:
    return graph_of(f, "aot_eager")


def inductor(f: Fn) -> Fn:
    """Raises UnsupportedError where there is no C++ compiler, without which it makes no code for the CPU."""
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as none:
        raise UnsupportedError(f"inductor needs a C++ compiler: {none}") from None
    return graph_of(f, "inductor")


@lru_cache(COMPILED)
def graph_of(fn: Fn, backend: str) -> Fn:
    """fn as torch.compile makes it, a graph for each shape and none too many; where a gradient is due, AOTAutograd
    traces it with the value. Raises FallbackError unless one graph ran, and its gradient is a graph too."""
    import torch
    import torch._dynamo

    ran: list[Any] = []

    def proving(graph: Any, inputs: Any) -> Fn:
        run = torch._dynamo.lookup_backend(backend)(graph, inputs)

        def counted(*args: Any) -> Any:
            ran.append(run)
            return run(*args)

        return counted

    compiled = torch.compile(lambda arrays: fn(**arrays), backend=proving, fullgraph=True, dynamic=False)

    def call(**arrays: Any) -> Any:
        ran.clear()
        with torch._dynamo.config.patch(dict.fromkeys(LIMITS, MANY)):
            ys = compiled(arrays)
        if len(ran) != 1:
            raise FallbackError(f"{len(ran)} compiled graphs ran where one was due: torch.compile fell back to eager")
        if ys[0].requires_grad and "CompiledFunction" not in type(ys[0].grad_fn).__name__:
            raise FallbackError(f"the gradient is that of {type(ys[0].grad_fn).__name__}, which is not compiled")
        return ys

    return call


def forget() -> None:
    import torch

    graph_of.cache_clear()
    torch.compiler.reset()


def value_by_row(fn: Fn, arrays: Arrays) -> tuple[Array, ...]:
    import torch

    axis = axis_of_rows(fn)
    run = torch.func.vmap(lambda args: row_of(fn, axis)(**args), axis, axis)
    return tuple(map(to_numpy, run({k: to_framework(v) for k, v in arrays.items()})))


def value_and_vjp_by_row(
    fn: Fn, arrays: Arrays, wrt: tuple[str, ...], g: Array
) -> tuple[tuple[Array, ...], Arrays]:  # fmt: skip
    import torch

    axis = axis_of_rows(fn)

    def run(args: Any, g: Any) -> Any:
        def first(inputs: Any) -> Any:
            y, *rest = row_of(fn, axis)(**args | inputs)
            return y, tuple(rest)

        y, pull, rest = torch.func.vjp(first, {k: args[k] for k in wrt}, has_aux=True)
        return (y, *rest), pull(g)[0]

    args = {k: to_framework(v) for k, v in arrays.items()}
    ys, dx = torch.func.vmap(run, axis, axis)(args, to_framework(g))
    return tuple(map(to_numpy, ys)), {k: to_numpy(v) for k, v in dx.items()}


def derived_by_row(what: str) -> Any:
    """The verb of op.DERIVED, of each row."""

    def verb(fn: Fn, arrays: Arrays, wrt: str, tangent: Array, g: Array | None) -> Array:
        import torch

        axis = axis_of_rows(fn)

        def of_row(args: Any, v: Any, *cotangent: Any) -> Any:
            def first(x: Any) -> Any:
                return row_of(fn, axis)(**args | {wrt: x})[0]

            def gradient(x: Any) -> Any:
                return torch.func.vjp(first, x)[1](*cotangent)[0]

            if what == "hvp-reverse":
                return torch.func.vjp(gradient, args[wrt])[1](v)[0]
            return torch.func.jvp(first if what == "jvp" else gradient, (args[wrt],), (v,))[1]

        args = {k: to_framework(v) for k, v in arrays.items()}
        given = [to_framework(a) for a in (tangent, g) if a is not None]
        return to_numpy(torch.func.vmap(of_row, axis, axis)(args, *given))

    return verb


def row_of(fn: Fn, axis: int) -> Fn:
    """fn of one row, which it is given as a batch of one."""

    def row(**arrays: Any) -> Any:
        return tuple(y.squeeze(axis) for y in fn(**{k: v.unsqueeze(axis) for k, v in arrays.items()}))

    return row


def binary_cross_entropy_with_logits(x: Any, t: Any, pos_weight: float | None, reduction: str) -> Any:
    import torch

    weight = None if pos_weight is None else x.new_tensor(pos_weight)
    return torch.nn.functional.binary_cross_entropy_with_logits(x, t, pos_weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits_class(x: Any, t: Any, pos_weight: float | None, reduction: str) -> Any:
    import torch

    weight = None if pos_weight is None else x.new_tensor(pos_weight)
    return torch.nn.BCEWithLogitsLoss(pos_weight=weight, reduction=reduction)(x, t)


def negative_log_likelihood(x: Any, t: Any, reduction: str) -> Any:
    import torch

    return torch.nn.functional.nll_loss(torch.log(x), t, reduction=reduction)


def negative_log_likelihood_class(x: Any, t: Any, reduction: str) -> Any:
    import torch

    return torch.nn.NLLLoss(reduction=reduction)(torch.log(x), t)


def negative_log_likelihood_gather(x: Any, t: Any, reduction: str) -> Any:
    import torch

    loss = -torch.log(x.gather(-1, t[:, None])[:, 0])
    return {"none": torch.clone, "sum": torch.sum, "mean": torch.mean}[reduction](loss)


def categorical_cross_entropy(
    x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import torch

    s = t * (1 - label_smoothing) + label_smoothing / t.shape[-1] if label_smoothing else t
    loss = -s * torch.log(x)
    loss = loss if gamma == 0 else (1 - x) ** gamma * loss
    loss = (loss if alpha is None else alpha * loss).sum(-1)
    return {"none": torch.clone, "sum": torch.sum, "mean": torch.mean}[reduction](loss)


def categorical_cross_entropy_clamped(
    x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import torch

    p = x.clamp(1e-7)
    s = t * (1 - label_smoothing) + label_smoothing / t.shape[-1] if label_smoothing else t
    loss = -s * torch.log(p)
    loss = loss if gamma == 0 else (1 - p) ** gamma * loss
    loss = (loss if alpha is None else alpha * loss).sum(-1)
    return {"none": torch.clone, "sum": torch.sum, "mean": torch.mean}[reduction](loss)


def layered_cross_entropy(x: Any, q: Any, t: Any, reduction: str) -> Any:
    import torch

    p = torch.softmax(x, -1) + q
    return torch.nn.functional.nll_loss(torch.log(p), t, reduction=reduction), p


def hinge_relu(x: Any, t: Any) -> Any:
    import torch

    return torch.relu(1 - t * x)


def hinge_clamp(x: Any, t: Any) -> Any:
    import torch

    return torch.clamp(1 - t * x, min=0)


def hinge_maximum(x: Any, t: Any) -> Any:
    import torch

    return torch.maximum(1 - t * x, torch.zeros_like(x))


def squared_hinge(x: Any, t: Any) -> Any:
    import torch

    return torch.square(torch.relu(1 - t * x))


def multiclass_hinge(x: Any, t: Any, weight: Any, p: int, margin: float, reduction: str) -> Any:
    import torch

    label = t.unsqueeze(1)
    h = torch.relu(x - x.gather(1, label) + margin).scatter(1, label, 0)
    loss = weight[t] * (h if p == 1 else torch.square(h)).sum(1)
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]


def crammer_singer_hinge(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import torch

    label = t.unsqueeze(1)
    worst = x.scatter(1, label, -torch.inf).amax(1)
    loss = torch.relu(worst - x.gather(1, label).squeeze(1) + margin)
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]


def crammer_singer_hinge_max(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import torch

    label = t.unsqueeze(1)
    worst = x.scatter(1, label, -torch.inf).max(1).values
    loss = torch.clamp(worst - x.gather(1, label).squeeze(1) + margin, min=0)
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]


def ragged_centroid(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import torch

    items = torch.arange(t.shape[0]).unsqueeze(1).expand_as(t).reshape(-1)
    present, ids = torch.unique(torch.stack([items, t.reshape(-1)]), dim=1, return_inverse=True)
    members = torch.bincount(ids, minlength=present.shape[1]).to(x.dtype)
    points = x.reshape(-1, x.shape[-1])
    c = x.new_zeros(len(members), x.shape[-1]).index_add(0, ids, points) / members.unsqueeze(1)
    h = torch.relu(torch.linalg.vector_norm(points - c[ids], dim=-1) - delta)
    per_class = x.new_zeros(len(members)).index_add(0, ids, torch.square(h)) / members
    loss = x.new_zeros(len(t)).index_add(0, present[0], per_class)
    if over_classes == "mean":
        loss = loss / torch.bincount(present[0], minlength=len(t))
    return loss if reduction == "none" else loss.mean(), c[ids].reshape(x.shape)


def ragged_centroid_loop(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import torch

    losses, centroids = [], torch.zeros_like(x)
    for b, labels in enumerate(t):
        terms = []
        for k in labels.unique():
            members = x[b, labels == k]
            c = members.mean(0)
            centroids[b, labels == k] = c.detach()
            h = torch.relu(torch.linalg.vector_norm(members - c, dim=-1) - delta)
            terms.append(torch.square(h).mean())
        losses.append(torch.stack(terms).sum() if over_classes == "sum" else torch.stack(terms).mean())
    loss = torch.stack(losses) if losses else x.sum((1, 2))
    return loss if reduction == "none" else loss.mean(), centroids


def ragged_centroid_sorted(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import torch

    labels, order = torch.sort(t, dim=1, stable=True)
    first = torch.searchsorted(labels, labels)
    end = torch.searchsorted(labels, labels, right=True)
    size = (end - first).to(x.dtype)

    def class_mean(rows: Any) -> Any:
        upto = torch.nn.functional.pad(torch.cumsum(rows, 1), (0, 0, 1, 0))
        return (upto.take_along_dim(end[..., None], 1) - upto.take_along_dim(first[..., None], 1)) / size[..., None]

    points = x.take_along_dim(order[..., None], 1)
    c = class_mean(points)
    h = torch.relu(torch.linalg.vector_norm(points - c, dim=-1) - delta)
    one_each = first == torch.arange(t.shape[1])
    loss = torch.where(one_each, class_mean(torch.square(h)[..., None])[..., 0], 0).sum(1)
    if over_classes == "mean":
        loss = loss / one_each.sum(1)
    centroids = c.take_along_dim(torch.argsort(order, dim=1)[..., None], 1)
    return loss if reduction == "none" else loss.mean(), centroids


def ragged_centroid_one_hot(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import torch

    one_hot = (t[..., None] == torch.unique(t)).to(x.dtype)
    sizes = one_hot.sum(1)
    c = one_hot @ (one_hot.mT @ x / sizes.clamp(min=1)[..., None])
    h = torch.relu(torch.linalg.vector_norm(x - c, dim=-1) - delta)
    loss = ((one_hot.mT @ torch.square(h)[..., None])[..., 0] / sizes.clamp(min=1)).sum(1)
    if over_classes == "mean":
        loss = loss / (sizes > 0).sum(1)
    return loss if reduction == "none" else loss.mean(), c


def softmax_regression(x: Any, w: Any, t: Any, reg: float) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(x @ w, t) + reg * (w * w).sum()


def euclidean_norm(x: Any) -> Any:
    import torch

    return torch.linalg.vector_norm(x, dim=-1)


def euclidean_norm_sqrt(x: Any) -> Any:
    import torch

    return torch.sqrt(torch.sum(torch.square(x), dim=-1))


def segment_sum(x: Any, ids: Any, count: int) -> Any:
    return x.new_zeros(count, *x.shape[1:]).index_add(0, ids, x)


def segment_mean(x: Any, ids: Any, count: int) -> Any:
    ones = ids.new_ones(len(ids))  # integers: in bfloat16 they add up to 256 and no more
    sizes = ids.new_zeros(count).index_add(0, ids, ones)
    return x.new_zeros(count, *x.shape[1:]).index_add(0, ids, x) / sizes.reshape(-1, *[1] * (x.ndim - 1))


def segment_mean_reduce(x: Any, ids: Any, count: int) -> Any:
    places = ids.reshape(-1, *[1] * (x.ndim - 1)).expand_as(x)
    return x.new_zeros(count, *x.shape[1:]).scatter_reduce(0, places, x, "mean", include_self=False)


def pca(x: Any, components: int) -> Any:
    import torch

    m = x.mean(0)
    values, vectors = torch.linalg.eigh((x - m) @ (x - m).T)
    values, vectors = values.flip(0)[:components], vectors.flip(1)[:, :components]
    z = vectors * values.sqrt()
    return m + vectors @ (vectors.T @ (x - m)), values, torch.einsum("ik,jk->kij", z, z)


def pca_svd(x: Any, components: int) -> Any:
    import torch

    m = x.mean(0)
    u, s, w = torch.linalg.svd(x - m, full_matrices=False)
    z = u[:, :components] * s[:components]
    return m + z @ w[:components], s[:components].square(), torch.einsum("ik,jk->kij", z, z)


def focal_loss(x: Any, t: Any, alpha: float | None, gamma: int, reduction: str) -> Any:
    import torch

    p = torch.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none") * (1 - p_t) ** gamma
    loss = loss if alpha is None else (alpha * t + (1 - alpha) * (1 - t)) * loss
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]


def multilabel_soft_margin(x: Any, t: Any, reduction: str) -> Any:
    import torch

    label = torch.nn.functional.one_hot(t, x.shape[-1]).to(x.dtype)
    return torch.nn.functional.multilabel_soft_margin_loss(x, label, reduction=reduction)


def logistic_regression(x: Any, w: Any, t: Any, reg: float) -> Any:
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(x @ w, t) + reg * (w * w).sum()


def categorical_hinge(x: Any, t: Any, reduction: str) -> Any:
    import torch

    label = t.unsqueeze(1)
    loss = torch.relu(x.scatter(1, label, 0).amax(1) - x.gather(1, label).squeeze(1) + 1)
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]


def multilabel_margin(x: Any, t: Any, reduction: str) -> Any:
    import torch

    within = torch.cumsum(t < 0, -1) == 0
    listed = (within.unsqueeze(2) & (t.unsqueeze(2) == torch.arange(x.shape[-1]))).any(1)
    pairs = listed.unsqueeze(2) & ~listed.unsqueeze(1)
    h = torch.relu((1 - x).unsqueeze(2) + x.unsqueeze(1))
    loss = torch.where(pairs, h, torch.zeros_like(h)).sum((1, 2))
    return {"none": loss, "sum": loss.sum(), "mean": loss.mean()}[reduction]


NAN = float("nan")
ROUNDED_SUM = "along the last axis the sum of the exponentials is rounded to 16 bits, along others it is not; see \
https://github.com/pytorch/pytorch/issues/140222"
NOT_IN_16_BITS = "it is not implemented in 16 bits on the CPU, and says so"
UNWRITTEN = "of no rows it returns memory that was never written, another number each time: there is nothing to judge"
NO_FORWARD = "torch has no forward mode for it, and says so"
ONE_DERIVATIVE = {
    "*/jvp/*": NO_FORWARD, "*/hvp/*": NO_FORWARD,
    "*/hvp-reverse/*": "torch has no derivative of its gradient, and says so",
}  # fmt: skip
OTHER_AXES = "along other axes than the last the exponentials and their sum are rounded to 16 bits"
NLL_SUMS = "nll_loss adds up the weighted losses, and the weights, in 16 bits"
NLL_SUM = "nll_loss adds up its rows in 16 bits, torch.sum and torch.mean add up in float32"
HALF_GRADIENT = "the gradient takes three roundings to float16 where it is computed in float32 for bfloat16"
NO_EIGH = {"*float16/*": "torch.linalg decomposes no matrix of 16-bit numbers"}
AT_0 = (
    "rows without their mean have the singular value 0, and where that comes out as exactly 0 the gradient of "
    "torch.linalg.svd is NaN: https://docs.pytorch.org/docs/stable/generated/torch.linalg.svd.html"
)
NO_GRADIENT_AT_0 = {"*/vjp/*": AT_0, "*/hvp*/*": AT_0}
OVERFLOWS = {"float16/vjp/scale-10000": "the cotangent times the loss overflows, and infinity times 0 is NaN"}
OF_AN_OUTER_PRODUCT = (
    "the gradient of a matrix times a vector is an outer product, and that one's is a sum of products rounded to 16 "
    "bits, where the matrix times another vector would be rounded once"
)
IN_TURN = "index_add adds each row to its segment in 16 bits, scatter_reduce adds up in float32"
ADDED_IN_TURN = {
    "*float16/value/*": Precision("C", sharp=True, finding=IN_TURN), "*float16/vjp/*": FUSED,
}  # fmt: skip

DIVIDED_TWICE = "the gradient of a mean is divided by the number of rows and by the probability: it is rounded twice"
OF_A_MEAN = Precision("B", sharp=True, finding=DIVIDED_TWICE)
NLL_PRECISION = {
    "*float16/value/sum-*": Precision("C", finding=NLL_SUM),
    "*float16/value/mean-*": Precision("C", finding=NLL_SUM),
    "*float16/vjp/mean-size-*": OF_A_MEAN,
    "*float16/*": FUSED,
}

INF = float("inf")
UNCLIPPED = {"floor": -INF, "ceiling": INF, "at_clip": 1.0}
OF_PROBABILITIES = {"normalised": False, **UNCLIPPED}
DENSE = {**OF_PROBABILITIES, "nan_clip": 0.0}

REFUSED, UNTRACED = Raises("RuntimeError"), Raises("TorchRuntimeError")
NLL_EDGES = {
    "bad_label": {
        "*/label-minus-100": "ignored", "vmap-grad/*": REFUSED, "compile/*": REFUSED, "*": Raises("IndexError"),
    },
    "label_dtype": {
        "compile-aot/*/label-int32": REFUSED, "compile*": UNTRACED, "vmap-grad/*/label-int32": "accepted",
        "vmap-grad/*": REFUSED, "*/label-uint8": "accepted", "*": REFUSED,
    },
    "label_shape": {
        "compile*": UNTRACED, "vmap-grad/*/labels-2d": Raises("AssertionError"),
        "*/labels-too-few": Raises("ValueError"), "*": REFUSED,
    },
}  # fmt: skip
GATHER_EDGES = {
    "bad_label": REFUSED, "label_dtype": {"*/label-int32": "accepted", "compile*": UNTRACED, "*": REFUSED},
    "label_shape": {"compile*": UNTRACED, "vmap-grad/*/labels-too-few": Raises("ValueError"), "*": REFUSED},
}  # fmt: skip
# gather takes an index that is shorter than the tensor: a known failure of the value
SHORT_EDGES = GATHER_EDGES | {
    "label_shape": {"vmap-grad/*/labels-too-few": Raises("ValueError"), "compile*/labels-2d": UNTRACED, "*": REFUSED},
}  # fmt: skip
MARGIN_EDGES = {
    "bad_label": REFUSED,
    "label_dtype": {"compile*/label-int32": "accepted", "compile*": UNTRACED, "*": REFUSED},
    "label_shape": {"compile*": UNTRACED, "*": REFUSED},
}  # fmt: skip

# What is due at the edges that frameworks decide about: see gradparity list ops.
AT_EDGES: AtEdges = {
    "no_classes": (
        (
            "empty",
            (
                "softmax/*",
                "log_softmax/*",
                "logsumexp/*",
                "soft_cross_entropy/*",
                "categorical_cross_entropy/*",
                "multilabel_margin/*.multilabel_margin",
            ),
        ),
        (
            {"compile-aot/*": Raises("TorchRuntimeError"), "*": Raises("RuntimeError")},
            ("multilabel_margin/torch.nn.functional.multilabel_margin_loss",),
        ),
    ),
    "number": (("row", ("softmax/*", "log_softmax/*", "logsumexp/*", "euclidean_norm/*")),),
    "nan_probability": ((Raises("RuntimeError"), ("binary_cross_entropy/*",)),),
    "not_finite": ((Raises("_LinAlgError"), ("pca/*",)),),
    "bad_label": (({"*/label-minus-100": "left out", "*": Raises("IndexError")}, ("softmax_regression/*",)),),
    "negative_label": (("a class", ("ragged_centroid/*",)),),
    "label_dtype": (
        (
            {
                "*/label-uint16": Raises("RuntimeError"),
                "*/label-uint32": Raises("RuntimeError"),
                "*/label-uint64": Raises("RuntimeError"),
                "*": "accepted",
            },
            ("ragged_centroid/*.ragged_centroid",),
        ),
        ("accepted", ("ragged_centroid/*.ragged_centroid_loop", "ragged_centroid/*.ragged_centroid_one_hot")),
        (
            {
                "*/label-uint16": Raises("NotImplementedError"),
                "*/label-uint32": Raises("NotImplementedError"),
                "*/label-uint64": Raises("NotImplementedError"),
                "*": "accepted",
            },
            ("ragged_centroid/*.ragged_centroid_sorted",),
        ),
        (
            {
                "compile-aot/*/label-int16": Raises("TorchRuntimeError"),
                "compile-aot/*/label-int8": Raises("TorchRuntimeError"),
                "compile-aot/*/label-uint16": Raises("TorchRuntimeError"),
                "compile-aot/*/label-uint32": Raises("TorchRuntimeError"),
                "compile-aot/*/label-uint64": Raises("TorchRuntimeError"),
                "compile-aot/*/label-uint8": Raises("TorchRuntimeError"),
                "eager/*/label-uint8": "accepted",
                "*": Raises("RuntimeError"),
            },
            ("softmax_regression/*",),
        ),
    ),
    "label_shape": (
        (
            {"compile-aot/*": Raises("TorchRuntimeError"), "*": Raises("RuntimeError")},
            ("ragged_centroid/*.ragged_centroid", "ragged_centroid/*.ragged_centroid_one_hot"),
        ),
        (Raises("IndexError"), ("ragged_centroid/*.ragged_centroid_loop",)),
        (Raises("ValueError"), ("ragged_centroid/*.ragged_centroid_sorted",)),
        (
            {
                "eager/*/labels-2d": Raises("RuntimeError"),
                "eager/*/labels-too-few": Raises("ValueError"),
                "*": Raises("TorchRuntimeError"),
            },
            ("softmax_regression/*",),
        ),
    ),
    "integer_input": (
        (
            Raises("NotImplementedError"),
            (
                "softmax/*",
                "log_softmax/*",
                "cross_entropy/*",
                "spatial_cross_entropy/*",
                "soft_cross_entropy/*",
                "weighted_cross_entropy/*",
                "log_sigmoid/*",
                "one_vs_rest/*",
            ),
        ),
        ("float32", ("logsumexp/*", "sigmoid/*")),
        (
            {"vmap-grad/*": Raises("RuntimeError"), "*": Raises("NotImplementedError")},
            ("binary_cross_entropy_with_logits/*", "focal_loss/*"),
        ),
    ),
    "mixed": (
        (
            "float64",
            (
                "soft_cross_entropy/*",
                "hinge/*",
                "squared_hinge/*",
                "binary_cross_entropy_with_logits/*",
                "layered_cross_entropy/*",
                "categorical_cross_entropy/*",
                "multiclass_hinge/*.multiclass_hinge",
                "margin_ranking/*",
                "pairwise_distance/*",
                "focal_loss/*",
            ),
        ),
        (
            Raises("RuntimeError"),
            ("weighted_cross_entropy/*", "binary_cross_entropy/*", "softmax_regression/*", "logistic_regression/*"),
        ),
        (
            {"compile-aot/*": "float64", "*": Raises("RuntimeError")},
            ("multiclass_hinge/torch.nn.functional.multi_margin_loss",),
        ),
        ("float32", ("hinge_embedding/*",)),
    ),
}

FUNCTIONS: tuple[Implementation, ...] = (
    Implementation(
        "softmax", "torch.nn.functional.softmax", renames={"x": "input", "axis": "dim"},
        precision={"*float16/value/axis-*": Precision("B", sharp=True, finding=OTHER_AXES), "*float16/*": FUSED},
    ),
    Implementation(
        "log_softmax", "torch.nn.functional.log_softmax", renames={"x": "input", "axis": "dim"},
        precision={
            "*float16/value/axis-*": FUSED, "*float16/value/*": Precision("B", sharp=True, finding=ROUNDED_SUM),
            "*float16/vjp/*": FUSED,
        },
    ),
    Implementation(
        "logsumexp", "torch.logsumexp", renames={"x": "input", "axis": "dim"}, precision={"*float16/*": STEPWISE}
    ),
    Implementation(
        "cross_entropy", "torch.nn.functional.cross_entropy", renames={"x": "input", "t": "target"},
        precision={"*float16/value/*": Precision("B"), "*float16/vjp/*": STEPWISE},
        edges=NLL_EDGES,
    ),
    Implementation(
        "spatial_cross_entropy", "torch.nn.functional.cross_entropy", renames={"x": "input", "t": "target"},
        precision={"*float16/value/*": Precision("B"), "*float16/vjp/*": STEPWISE},
    ),
    Implementation(
        "soft_cross_entropy", "torch.nn.functional.cross_entropy", renames={"x": "input", "t": "target"},
        conventions={"masked": NAN}, precision={"*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("B")},
    ),
    Implementation(
        "weighted_cross_entropy", "torch.nn.functional.cross_entropy", renames={"x": "input", "t": "target"},
        road="two-losses", conventions={"denominator": "weights", "ignored_row": NAN},
        precision={
            # partial sums of 16 keep the error of many rows far below what one running sum may have, which is unbounded
            "*float16/value/mean-digits": Precision("B", finding=NLL_SUMS),
            "*float16/value/sum-*": Precision("C", sharp=True, finding=NLL_SUMS),
            "*float16/value/mean-*": Precision("C", sharp=True, finding=NLL_SUMS),
            "*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("B"),
        },
        edges=NLL_EDGES | {"bad_label": {"compile/*": REFUSED, "*": Raises("IndexError")}},
    ),
    Implementation(
        "sigmoid", "torch.sigmoid", renames={"x": "input"},
        precision={"float16/vjp/*": Precision("B", sharp=True, finding=HALF_GRADIENT), "*float16/*": FUSED},
    ),
    Implementation(
        "log_sigmoid", "torch.nn.functional.logsigmoid", renames={"x": "input"}, road="complement",
        precision={"*float16/value/*": FUSED, "*float16/vjp/*": STEPWISE},
    ),
    Implementation("hinge", fn=hinge_relu, conventions={"kink": 0.0, "nan_margin": 1.0}, precision={"*": FUSED}),
    Implementation("hinge", fn=hinge_clamp, conventions={"kink": 1.0, "nan_margin": 0.0}, precision={"*": FUSED}),
    Implementation("hinge", fn=hinge_maximum, conventions={"kink": 0.5, "nan_margin": 1.0}, precision={"*": FUSED}),
    Implementation(
        "squared_hinge", fn=squared_hinge, conventions={"nan_margin": NAN}, precision={"*float16/*": STEPWISE}
    ),
    Implementation(
        "ragged_centroid", fn=ragged_centroid,
        precision={
            "*float16/*/*size-*": Precision("C", finding=IN_TURN),  # so many in a class that it shows
            "*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("B"),
        },
    ),
    Implementation("ragged_centroid", fn=ragged_centroid_loop, precision={"*float16/*": Precision("B")}),
    Implementation(
        "ragged_centroid", fn=ragged_centroid_sorted, road="cumulative-sums", precision={"*float16/*": Precision("B")}
    ),
    Implementation("ragged_centroid", fn=ragged_centroid_one_hot, precision={"*float16/*": Precision("B")}),
    Implementation(
        "binary_cross_entropy_with_logits", "torch.nn.functional.binary_cross_entropy_with_logits",
        binary_cross_entropy_with_logits, road="sigmoid-minus-target", precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "binary_cross_entropy_with_logits", "torch.nn.BCEWithLogitsLoss",
        binary_cross_entropy_with_logits_class, road="sigmoid-minus-target", precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "negative_log_likelihood", fn=negative_log_likelihood, conventions={**OF_PROBABILITIES, "every_log": True},
        precision=NLL_PRECISION, edges=NLL_EDGES,
    ),
    Implementation(
        "binary_cross_entropy", "torch.nn.functional.binary_cross_entropy", renames={"x": "input", "t": "target"},
        road="fused", conventions={**UNCLIPPED, "least_log": -100.0, "least_variance": 9.999999960041972e-13},
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "layered_cross_entropy", fn=layered_cross_entropy, conventions={**OF_PROBABILITIES, "every_log": True},
        precision={"*float16/value/sum-*": Precision("C", finding=NLL_SUM),
            "*float16/value/mean-*": Precision("C", finding=NLL_SUM), "*float16/*": STEPWISE},
        edges=NLL_EDGES,
    ),
    Implementation(
        "negative_log_likelihood", "torch.nn.NLLLoss", negative_log_likelihood_class,
        conventions={**OF_PROBABILITIES, "every_log": True}, precision=NLL_PRECISION, edges=NLL_EDGES,
    ),
    Implementation(
        "negative_log_likelihood", fn=negative_log_likelihood_gather,
        conventions={**OF_PROBABILITIES, "every_log": False},
        precision={"*float16/value/*": STEPWISE, "*float16/vjp/mean-size-*": OF_A_MEAN, "*float16/vjp/*": FUSED},
        edges=SHORT_EDGES,
    ),
    Implementation(
        "categorical_cross_entropy", fn=categorical_cross_entropy, conventions=DENSE,
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "categorical_cross_entropy", fn=categorical_cross_entropy_clamped,
        conventions={**DENSE, "floor": 1e-7}, precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "softmax_regression", fn=softmax_regression, conventions={"penalty": 1.0},
        precision={
            "float16/vjp/size-*": Precision("B"), "*float16/vjp/*": STEPWISE,
            "*float16/*": Precision("B", finding=NLL_SUM),
        },
    ),
    Implementation(
        "multiclass_hinge", "torch.nn.functional.multi_margin_loss", renames={"x": "input", "t": "target"},
        road="from-the-margin", conventions={"kink": 0.0, "nan_margin": 0.0, "nan_square": 0.0, "divisor": "classes"},
        unsupported={
            "*float16/*": NOT_IN_16_BITS, "*/sum-zero-rows": UNWRITTEN, "*/mean-zero-rows": UNWRITTEN, **ONE_DERIVATIVE,
        },
        edges=MARGIN_EDGES,
    ),
    Implementation(
        "crammer_singer_hinge", fn=crammer_singer_hinge,
        conventions={"kink": 0.0, "tie": "split", "nan_margin": 1.0},
        precision={"*float16/*": STEPWISE},
        edges=GATHER_EDGES,
    ),
    Implementation(
        "crammer_singer_hinge", fn=crammer_singer_hinge_max,
        conventions={"kink": 1.0, "tie": "first", "nan_margin": 0.0},
        precision={"*float16/*": STEPWISE},
        edges=GATHER_EDGES,
    ),
    Implementation(
        "hinge_embedding", "torch.nn.functional.hinge_embedding_loss", renames={"x": "input", "t": "target"},
        conventions={"kink": 1.0, "nan_margin": 0.0},
        precision={"*float16/value/*": STEPWISE, "*float16/vjp/*": FUSED},
    ),
    Implementation(
        "margin_ranking", "torch.nn.functional.margin_ranking_loss",
        renames={"x": "input1", "other": "input2", "t": "target"}, conventions={"kink": 1.0, "nan_margin": 0.0},
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "multiclass_hinge", fn=multiclass_hinge,
        conventions={"kink": 0.0, "nan_margin": 1.0, "nan_square": NAN, "divisor": "one"},
        precision={"*float16/*": STEPWISE},
        edges=GATHER_EDGES,
    ),
    Implementation(
        "euclidean_norm", "torch.linalg.vector_norm", euclidean_norm, conventions={"at_zero": 0.0},
        precision={"*float16/value/*": FUSED, "*float16/vjp/*": STEPWISE},
    ),
    Implementation(
        "euclidean_norm", fn=euclidean_norm_sqrt, road="through-the-square", conventions={"at_zero": NAN},
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "pairwise_distance", "torch.nn.functional.pairwise_distance", renames={"x": "x1", "other": "x2"},
        conventions={"at_zero": 0.0}, precision={"*float16/*": STEPWISE},
    ),
    Implementation("pca", fn=pca, unsupported=NO_EIGH),
    Implementation("pca", fn=pca_svd, road="svd", unsupported=NO_EIGH | NO_GRADIENT_AT_0),
    Implementation("segment_sum", fn=segment_sum, precision=ADDED_IN_TURN),
    Implementation("segment_mean", fn=segment_mean, conventions={"empty": NAN}, precision=ADDED_IN_TURN),
    Implementation(
        "segment_mean", fn=segment_mean_reduce, conventions={"empty": 0.0},
        precision={"*float16/value/*": STEPWISE, "*float16/vjp/*": FUSED},
    ),
    Implementation(
        "focal_loss", fn=focal_loss, road="sigmoid-minus-target", precision={"*float16/*": STEPWISE},
        unsupported=OVERFLOWS,
    ),
    Implementation(
        "one_vs_rest", "torch.nn.functional.multilabel_soft_margin_loss", multilabel_soft_margin,
        road="log-sigmoids", conventions={"divisor": "classes"}, precision={"*float16/*": STEPWISE},
        edges={
            "bad_label": REFUSED,
            "label_dtype": {
                "compile*/label-uint8": "accepted", "compile*/label-uint*": Raises("NotImplementedError"),
                "compile*": "accepted", "*": REFUSED,
            },
            "label_shape": {"*/value/labels-2d": "accepted", "compile*/labels-too-few": UNTRACED, "*": REFUSED},
        },
    ),
    Implementation(
        "logistic_regression", fn=logistic_regression, road="sigmoid-minus-target", conventions={"penalty": 1.0},
        precision={"*float16/hvp-reverse/*": Precision("C", finding=OF_AN_OUTER_PRODUCT), "*float16/*": STEPWISE},
    ),
    Implementation(
        "categorical_hinge", fn=categorical_hinge, conventions={"kink": 0.0, "tie": "split", "nan_margin": 1.0},
        precision={"*float16/*": STEPWISE}, edges=GATHER_EDGES,
    ),
    Implementation(
        "multilabel_margin", "torch.nn.functional.multilabel_margin_loss", renames={"x": "input", "t": "target"},
        conventions={"kink": 0.0, "nan_margin": 0.0, "divisor": "classes"},
        unsupported={
            "*float16/*": NOT_IN_16_BITS, "*/sum-zero-rows": UNWRITTEN, "*/mean-zero-rows": UNWRITTEN, **ONE_DERIVATIVE,
        },
    ),
    Implementation(
        "multilabel_margin", fn=multilabel_margin, conventions={"kink": 0.0, "nan_margin": 1.0, "divisor": "one"},
        precision={"*float16/*": STEPWISE},
    ),
)  # fmt: skip
FUNCTIONS = at_edges(FUNCTIONS, AT_EDGES)

# What torch.nn has as a class too: operation, class, and which arguments it is made with.
CLASSES = (
    ("softmax", "torch.nn.Softmax", ("axis",)),
    ("log_softmax", "torch.nn.LogSoftmax", ("axis",)),
    ("sigmoid", "torch.nn.Sigmoid", ()),
    ("log_sigmoid", "torch.nn.LogSigmoid", ()),
    ("cross_entropy", "torch.nn.CrossEntropyLoss", ("reduction",)),
    ("spatial_cross_entropy", "torch.nn.CrossEntropyLoss", ("reduction",)),
    ("soft_cross_entropy", "torch.nn.CrossEntropyLoss", ("label_smoothing", "reduction")),
    (
        "weighted_cross_entropy", "torch.nn.CrossEntropyLoss",
        ("weight", "label_smoothing", "ignore_index", "reduction"),
    ),
    ("binary_cross_entropy", "torch.nn.BCELoss", ("reduction",)),
    ("multiclass_hinge", "torch.nn.MultiMarginLoss", ("weight", "p", "margin", "reduction")),
    ("hinge_embedding", "torch.nn.HingeEmbeddingLoss", ("margin", "reduction")),
    ("margin_ranking", "torch.nn.MarginRankingLoss", ("margin", "reduction")),
)  # fmt: skip


def as_class(op: str, api: str, made_with: tuple[str, ...]) -> Implementation:
    """It declares what the function does, which it calls."""
    return replace(next(i for i in FUNCTIONS if i.op == op), api=api, made_with=made_with)


IMPLEMENTATIONS = (*FUNCTIONS, *(as_class(*words) for words in CLASSES))

# What a mode does otherwise. The classes call the functions: the graphs would be the same.
IT_IS_ANOTHER_LOSS = "compiled it computes in 16 bits too, but another loss, which is a known failure in 32 bits"
IN_A_GRAPH = redeclared(FUNCTIONS, {
    # the decomposition, which takes the gradient of clamp, and has 16 bits and a loss of no rows
    "multiclass_hinge/torch.nn.functional.multi_margin_loss": {
        "conventions": {"kink": 1.0}, "unsupported": {"*": ""}, "precision": {"*float16/*": STEPWISE},
    },
    "multilabel_margin/torch.nn.functional.multilabel_margin_loss": {"unsupported": {"*float16/*": IT_IS_ANOTHER_LOSS}},
    "ragged_centroid/*.ragged_centroid_loop": {"unsupported": {"*": "a loop over the values of a tensor is no graph"}},
})  # fmt: skip
NO_BATCH = "inductor multiplies no batch of matrices whose size depends on values: GuardOnDataDependentSymNode"
# What inductor fuses into one loop it computes in float32, and rounds what it stores: results, and what lies between
# loops or waits for the gradient. Measured with `gradparity probe`.
FUSED_VALUE, FUSED_VJP = {"*float16/value/*": FUSED}, {"*float16/vjp/*": FUSED}
IN_INDUCTOR = redeclared(IN_A_GRAPH, {
    "ragged_centroid/*.ragged_centroid_one_hot": {"unsupported": {"*": NO_BATCH}},
    "ragged_centroid/*": {},
    "layered_cross_entropy/*": {},
    "segment_*": {},
    "*cross_entropy/torch.nn.functional.cross_entropy": {"precision": FUSED_VALUE},
    "binary_cross_entropy/*": {"precision": FUSED_VALUE},
    "logistic_regression/*": {"precision": FUSED_VALUE},
    "softmax_regression/*": {"precision": FUSED_VALUE},
    "pairwise_distance/*": {"precision": FUSED_VALUE},
    "euclidean_norm/*_sqrt": {"precision": FUSED_VJP},
    "multiclass_hinge/gradparity.*": {"precision": FUSED_VJP},
    "one_vs_rest/*": {"precision": FUSED_VJP},
    "*": {"precision": {"*float16/*": FUSED}},
})  # fmt: skip
NO_RULE = "torch.func.vmap has no rule for it, and of no rows it cannot do without"
OF_A_SUM = {"road": "log-of-a-sum"}  # where torch.func has a formula of its own
BY_ROW = redeclared(FUNCTIONS, {
    "binary_cross_entropy_with_logits/*": OF_A_SUM,
    "focal_loss/*": OF_A_SUM,
    "margin_ranking/*": {"unsupported": {"*/value/zero-rows": NO_RULE}},
    "multilabel_margin/torch.nn.functional.multilabel_margin_loss": {"unsupported": {"*/zero-rows": NO_RULE}},
    "one_vs_rest/*": {
        "unsupported": dict.fromkeys(
            ("*/vjp/*", "*/[jh]v*/*"), "torch.func.vmap refuses its derivatives: one_hot asks for a value there"
        ),
        "edges": {"bad_label": "no class", "label_shape": {
            "*/labels-too-few": Raises("ValueError"), "*/value/labels-2d": "accepted", "*": REFUSED,
        }},
    },
    "ragged_centroid/*": {"unsupported": {"*": "torch.func.vmap has no torch.unique: its shape depends on values"}},
})  # fmt: skip

VALUE = "y = call({args})"
VJP = "{wrt}.requires_grad_(); y = call({args}); (dx,) = torch.autograd.grad(y, [{wrt}], g)"
SHOW = {
    "import": "import torch", "tensor": "torch.from_numpy({})", "array": "{}.detach().numpy()",
    "tensor bfloat16": "torch.from_numpy({}.astype(np.float32)).bfloat16()",
    "array bfloat16": "{}.detach().float().numpy()",
    "value": VALUE, "vjp": VJP,
    "jvp": "(_, dx) = torch.func.jvp(lambda {wrt}: call({args}), ({wrt},), (v,))",
    "hvp": "gradient = lambda {wrt}: torch.func.vjp(lambda {wrt}: call({args}), {wrt})[1](g)[0]\n"
    "(_, dx) = torch.func.jvp(gradient, ({wrt},), (v,))",
    "hvp-reverse": "{wrt}.requires_grad_(); y = call({args})\n"
    "(dx,) = torch.autograd.grad(y, [{wrt}], g, create_graph=True)\n"
    "(dx,) = torch.autograd.grad(dx, [{wrt}], v) if dx.requires_grad else [torch.zeros_like(dx)]",
}  # fmt: skip

IMPORT_BY_ROW = """import torch

def by_row(f):  # f of each row as a batch of one
    one = lambda *row: torch.utils._pytree.tree_map(lambda y: y[0], f(*(a[None] for a in row)))
    return torch.func.vmap(one)
"""
SHOW_BY_ROW = SHOW | {"import": IMPORT_BY_ROW, "compile": "by_row({})"}

PROCESS = THREADS
COMPILES = 3e9  # bytes of a process in which torch compiles
KNOWN_FAILURES = str(Path(__file__).with_suffix(".toml"))
BASELINE = recorded(__file__)

ADAPTERS = (
    Adapter(
        "torch", "eager", "torch", IMPLEMENTATIONS, value, value_and_vjp,
        show=SHOW, derived={d: derived(d) for d in DERIVED}, process=PROCESS, default=True,
        known_failures=KNOWN_FAILURES, baseline=BASELINE,
    ),
    Adapter(
        "torch", "compile-aot", "torch", IN_A_GRAPH, partial(value, compiled=aot),
        partial(value_and_vjp, compiled=aot),
        show=SHOW | {"compile": 'torch.compile({}, backend="aot_eager", fullgraph=True, dynamic=False)'},
        process=PROCESS, forget=forget, memory=COMPILES, known_failures=KNOWN_FAILURES, baseline=BASELINE,
    ),
    Adapter(
        "torch", "compile", "torch", IN_INDUCTOR, partial(value, compiled=inductor),
        partial(value_and_vjp, compiled=inductor),
        show=SHOW | {"compile": "torch.compile({}, fullgraph=True, dynamic=False)"},
        process=PROCESS | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}, keeps={"TORCHINDUCTOR_CACHE_DIR": "{torch}"},
        forget=forget, memory=COMPILES, known_failures=KNOWN_FAILURES, baseline=BASELINE,
    ),
    Adapter(
        "torch", "vmap-grad", "torch", BY_ROW, value_by_row, value_and_vjp_by_row,
        show=SHOW_BY_ROW, derived={d: derived_by_row(d) for d in DERIVED}, process=PROCESS,
        known_failures=KNOWN_FAILURES, baseline=BASELINE,
    ),
)  # fmt: skip
