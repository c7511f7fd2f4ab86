"""JAX. See gradparity.adapters.torch for how adapter files are written."""

from __future__ import annotations

from functools import cache, lru_cache, partial, wraps
from pathlib import Path
from typing import Any

from gradparity.adapter import COMPILED, THREADS, Adapter, AtEdges, Fn, Implementation, at_edges, axis_of_rows
from gradparity.arithmetic import FUSED, STEPWISE, Precision
from gradparity.misrounded import recorded
from gradparity.op import DERIVED, Array, Arrays, FallbackError, GradparityError, Raises


def to_framework(a: Array) -> Any:
    """Without x64, jax turns float64 into float32 and says nothing."""
    import jax

    if a.dtype == "float64" and not jax.config.jax_enable_x64:
        raise GradparityError("jax computes in float32 here: set JAX_ENABLE_X64=1 before jax is imported")
    return jax.numpy.asarray(a)


def to_numpy(x: Any) -> Array:
    import numpy as np

    return np.asarray(x)


def plain(f: Fn) -> Any:
    return f


def value(fn: Fn, arrays: Arrays, compiled: Any = plain) -> tuple[Array, ...]:
    run = value_of(fn, compiled)
    return tuple(map(to_numpy, run({k: to_framework(v) for k, v in arrays.items()})))


@lru_cache(COMPILED)
def value_of(fn: Fn, compiled: Any) -> Any:
    return compiled(lambda args: fn(**args))


def value_and_vjp(
    fn: Fn, arrays: Arrays, wrt: tuple[str, ...], g: Array, compiled: Any = plain
) -> tuple[tuple[Array, ...], Arrays]:
    ys, dx = value_and_vjp_of(fn, wrt, compiled)({k: to_framework(v) for k, v in arrays.items()}, to_framework(g))
    return tuple(map(to_numpy, ys)), {k: to_numpy(v) for k, v in dx.items()}


@lru_cache(COMPILED)
def value_and_vjp_of(fn: Fn, wrt: tuple[str, ...], compiled: Any) -> Any:
    import jax

    def run(args: Any, g: Any) -> Any:
        def first(inputs: Any) -> Any:
            y, *rest = fn(**args | inputs)
            return y, rest

        y, pull, rest = jax.vjp(first, {k: args[k] for k in wrt}, has_aux=True)
        return (y, *rest), pull(g)[0]

    return compiled(run)


def derived(what: str, compiled: Any = plain) -> Any:
    """The verb of op.DERIVED: see derived_of."""

    def verb(fn: Fn, arrays: Arrays, wrt: str, tangent: Array, g: Array | None) -> Array:
        args = {k: to_framework(v) for k, v in arrays.items()}
        given = (to_framework(tangent),) if g is None else (to_framework(tangent), to_framework(g))
        return to_numpy(derived_of(fn, wrt, what, compiled)(args, *given))

    return verb


@lru_cache(COMPILED)
def derived_of(fn: Fn, wrt: str, what: str, compiled: Any) -> Any:
    import jax

    def first(args: Any) -> Fn:
        return lambda x: fn(**args | {wrt: x})[0]

    def jvp(args: Any, v: Any) -> Any:
        return jax.jvp(first(args), (args[wrt],), (v,))[1]

    def hvp(args: Any, v: Any, g: Any) -> Any:
        return jax.jvp(lambda x: jax.vjp(first(args), x)[1](g)[0], (args[wrt],), (v,))[1]

    def hvp_reverse(args: Any, v: Any, g: Any) -> Any:
        return jax.vjp(lambda x: jax.vjp(first(args), x)[1](g)[0], args[wrt])[1](v)[0]

    return compiled({"jvp": jvp, "hvp": hvp, "hvp-reverse": hvp_reverse}[what])


def forget() -> None:
    import jax

    value_of.cache_clear()
    value_and_vjp_of.cache_clear()
    derived_of.cache_clear()
    row_of.cache_clear()
    jax.clear_caches()


def jit(f: Fn) -> Any:
    """Raises FallbackError where what is compiled is given numbers: jax.jit is switched off."""
    import jax

    @wraps(f)
    def traced(*args: Any) -> Any:
        if not all(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree_util.tree_leaves(args)):
            raise FallbackError("nothing was compiled: jax.jit computes step by step, see JAX_DISABLE_JIT")
        return f(*args)

    return jax.jit(traced)


def value_by_row(fn: Fn, arrays: Arrays) -> tuple[Array, ...]:
    axis = axis_of_rows(fn)
    return value(row_of(fn, axis), arrays, mapped(axis))


def value_and_vjp_by_row(
    fn: Fn, arrays: Arrays, wrt: tuple[str, ...], g: Array
) -> tuple[tuple[Array, ...], Arrays]:  # fmt: skip
    axis = axis_of_rows(fn)
    return value_and_vjp(row_of(fn, axis), arrays, wrt, g, mapped(axis))


def derived_by_row(what: str) -> Any:
    """The verb of op.DERIVED, of each row."""

    def verb(fn: Fn, arrays: Arrays, wrt: str, tangent: Array, g: Array | None) -> Array:
        axis = axis_of_rows(fn)
        return derived(what, mapped(axis))(row_of(fn, axis), arrays, wrt, tangent, g)

    return verb


@lru_cache(COMPILED)
def row_of(fn: Fn, axis: int) -> Fn:
    """fn of one row, which it is given as a batch of one."""
    import jax.numpy as jnp

    def row(**arrays: Any) -> Any:
        ys = fn(**{k: jnp.expand_dims(v, axis) for k, v in arrays.items()})
        return tuple(jnp.squeeze(y, axis) for y in ys)

    return row


@cache
def mapped(axis: int) -> Fn:
    """Compiles a function of one row for all of them."""
    import jax

    return lambda f: jit(jax.vmap(f, axis, axis))


def cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    loss = -jnp.take_along_axis(jax.nn.log_softmax(x), t[:, None], axis=-1)[:, 0]
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def spatial_cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    loss = -jnp.take_along_axis(jax.nn.log_softmax(x, axis=1), t[:, None], axis=1)[:, 0]
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def soft_cross_entropy(x: Any, t: Any, label_smoothing: float, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    s = t * (1 - label_smoothing) + label_smoothing / t.shape[-1] if label_smoothing else t
    loss = -jnp.sum(s * jax.nn.log_softmax(x), axis=-1)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def softmax_regression(x: Any, w: Any, t: Any, reg: float) -> Any:
    import jax
    import jax.numpy as jnp

    loss = -jnp.take_along_axis(jax.nn.log_softmax(x @ w), t[:, None], axis=-1)
    return jnp.mean(loss) + reg * jnp.sum(w * w)


def binary_cross_entropy_with_logits(x: Any, t: Any, pos_weight: float | None, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    positive = t if pos_weight is None else pos_weight * t
    loss = -positive * jax.nn.log_sigmoid(x) - (1 - t) * jax.nn.log_sigmoid(-x)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def weighted_cross_entropy(
    x: Any, t: Any, weight: Any, label_smoothing: float, ignore_index: int, reduction: str
) -> Any:  # fmt: skip
    import jax
    import jax.numpy as jnp

    counts = t != ignore_index
    t = jnp.where(counts, t, 0)
    y, own = jax.nn.log_softmax(x), weight[t]
    nll = -own * jnp.take_along_axis(y, t[:, None], axis=-1)[:, 0]
    smooth = -jnp.mean(weight * y, axis=-1)
    loss = (1 - label_smoothing) * nll + label_smoothing * smooth if label_smoothing else nll
    loss = jnp.where(counts, loss, 0)
    if reduction == "mean":
        return jnp.sum(loss) / jnp.sum(jnp.where(counts, own, 0))
    return loss if reduction == "none" else jnp.sum(loss)


def negative_log_likelihood(x: Any, t: Any, reduction: str) -> Any:
    import jax.numpy as jnp

    loss = -jnp.take_along_axis(jnp.log(x), t[:, None], axis=-1)[:, 0]
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def layered_cross_entropy(x: Any, q: Any, t: Any, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    p = jax.nn.softmax(x) + q
    loss = -jnp.take_along_axis(jnp.log(p), t[:, None], axis=-1)[:, 0]
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss), p


def binary_cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import jax.numpy as jnp

    loss = -t * jnp.log(x) - (1 - t) * jnp.log(1 - x)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def categorical_cross_entropy(
    x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import jax.numpy as jnp

    p = jnp.clip(x, 1e-7, 1 - 1e-7)
    s = t * (1 - label_smoothing) + label_smoothing / t.shape[-1] if label_smoothing else t
    loss = -s * jnp.log(p)
    loss = loss if gamma == 0 else (1 - p) ** gamma * loss
    loss = (loss if alpha is None else alpha * loss).sum(-1)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def hinge_relu(x: Any, t: Any) -> Any:
    import jax

    return jax.nn.relu(1 - t * x)


def hinge_maximum(x: Any, t: Any) -> Any:
    import jax.numpy as jnp

    return jnp.maximum(1 - t * x, 0)


def squared_hinge(x: Any, t: Any) -> Any:
    import jax
    import jax.numpy as jnp

    return jnp.square(jax.nn.relu(1 - t * x))


def multiclass_hinge(x: Any, t: Any, weight: Any, p: int, margin: float, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    z = x - jnp.take_along_axis(x, t[:, None], axis=-1) + margin
    h = jnp.where(jax.nn.one_hot(t, x.shape[-1], dtype=bool), 0, jnp.maximum(z, 0))
    loss = weight[t] * jnp.sum(h if p == 1 else jnp.square(h), axis=-1)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def hinge_embedding(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import jax.numpy as jnp

    loss = jnp.where(t > 0, x, jnp.maximum(margin - x, 0))
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def margin_ranking(x: Any, other: Any, t: Any, margin: float, reduction: str) -> Any:
    import jax.numpy as jnp

    loss = jnp.maximum(margin - t * (x - other), 0)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def crammer_singer_hinge(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    wrong = 1 - jax.nn.one_hot(t, x.shape[-1], dtype=x.dtype)
    loss = jnp.max(x + margin * wrong, axis=-1) - jnp.take_along_axis(x, t[:, None], axis=-1)[:, 0]
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def ragged_centroid(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    b, n, d = x.shape
    span = jnp.max(t, initial=0) + 1
    keys = jnp.repeat(jnp.arange(b), n) * span + t.reshape(-1)
    # as many segments as there are points: a size that does not depend on the labels, which jit needs
    k = b * n
    present, ids = jnp.unique(keys, size=k, fill_value=b * span, return_inverse=True)
    points = x.reshape(-1, d)
    members = jnp.maximum(jax.ops.segment_sum(jnp.ones(k, int), ids, k), 1).astype(x.dtype)
    c = jax.ops.segment_sum(points, ids, k) / members[:, None]
    square = jnp.sum(jnp.square(points - c[ids]), axis=-1)
    # jnp.linalg.norm has a NaN gradient at 0, where this loss has gradient 0
    r = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)
    h = jnp.where(r <= delta, 0, r - delta)
    per_class = jax.ops.segment_sum(jnp.square(h), ids, k) / members
    loss = jax.ops.segment_sum(per_class, present // span, b)
    if over_classes == "mean":
        loss = loss / jax.ops.segment_sum(jnp.ones(k, x.dtype), present // span, b)
    return loss if reduction == "none" else jnp.mean(loss), c[ids].reshape(x.shape)


def ragged_centroid_loop(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    def one_more(done: Any, k: Any) -> Any:
        """Of all items at once: the losses and the centroids so far, and those of the class with the labels k."""
        loss, centroids = done
        own = t == k[:, None]
        size = jnp.maximum(jnp.sum(own, axis=1), 1).astype(x.dtype)
        c = jnp.sum(jnp.where(own[..., None], x, 0), axis=1, keepdims=True) / size[:, None, None]
        square = jnp.sum(jnp.square(jnp.where(own[..., None], x - c, 0)), axis=-1)
        r = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)
        h = jnp.where(own, jnp.where(r <= delta, 0, r - delta), 0)
        of_class = jnp.sum(jnp.square(h), axis=1) / size
        return (loss + of_class, centroids + jnp.where(own[..., None], c, 0)), None

    # jit needs a number of classes that does not depend on the labels: no item here has more than 32
    present = jax.vmap(lambda row: jnp.unique(row, size=min(t.shape[1], 32), fill_value=-1))(t)
    (loss, centroids), _ = jax.lax.scan(one_more, (jnp.zeros(len(x), x.dtype), jnp.zeros_like(x)), present.T)
    if over_classes == "mean":
        loss = loss / jnp.sum(present >= 0, axis=1)
    return loss if reduction == "none" else jnp.mean(loss), centroids


def held(fn: Fn, *static: str) -> Fn:
    """fn as a function that JAX compiles once. A scan is compiled whole in eager mode too, and anew for each call of a
    function that makes its body: half a second for each gradient of ragged_centroid_loop."""

    @cache
    def compiled() -> Fn:
        import jax

        return jax.jit(fn, static_argnames=static)  # type: ignore[no-any-return]

    @wraps(fn)
    def call(**given: Any) -> Any:
        return compiled()(**given)

    return call


def ragged_centroid_sorted(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    order = jnp.argsort(t, axis=1, stable=True)
    labels = jnp.take_along_axis(t, order, axis=1)
    first = jax.vmap(lambda row: jnp.searchsorted(row, row))(labels)
    end = jax.vmap(lambda row: jnp.searchsorted(row, row, side="right"))(labels)
    size = (end - first).astype(x.dtype)

    def class_mean(rows: Any) -> Any:
        upto = jnp.pad(jnp.cumsum(rows, axis=1), ((0, 0), (1, 0), (0, 0)))
        before, after = (jnp.take_along_axis(upto, at[..., None], axis=1) for at in (first, end))
        return (after - before) / size[..., None]

    points = jnp.take_along_axis(x, order[..., None], axis=1)
    c = class_mean(points)
    square = jnp.sum(jnp.square(points - c), axis=-1)
    r = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)
    h = jnp.where(r <= delta, 0, r - delta)
    one_each = first == jnp.arange(t.shape[1])
    loss = jnp.sum(jnp.where(one_each, class_mean(jnp.square(h)[..., None])[..., 0], 0), axis=1)
    if over_classes == "mean":
        loss = loss / jnp.sum(one_each, axis=1)
    centroids = jnp.take_along_axis(c, jnp.argsort(order, axis=1)[..., None], axis=1)
    return loss if reduction == "none" else jnp.mean(loss), centroids


def ragged_centroid_one_hot(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    # jit needs a number of classes that does not depend on the labels: no item here has more than 32
    present = jax.vmap(lambda row: jnp.unique(row, size=min(t.shape[1], 32), fill_value=-1))(t)
    one_hot = (t[..., None] == present[:, None]).astype(x.dtype)
    sizes = jnp.sum(one_hot, axis=1)
    c = one_hot @ (one_hot.mT @ x / jnp.maximum(sizes, 1)[..., None])
    square = jnp.sum(jnp.square(x - c), axis=-1)
    r = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), square)
    h = jnp.where(r <= delta, 0, r - delta)
    of_class = (one_hot.mT @ jnp.square(h)[..., None])[..., 0] / jnp.maximum(sizes, 1)
    loss = jnp.sum(of_class, axis=1)
    if over_classes == "mean":
        loss = loss / jnp.sum(sizes > 0, axis=1)
    return loss if reduction == "none" else jnp.mean(loss), c


def euclidean_norm(x: Any) -> Any:
    import jax.numpy as jnp

    return jnp.linalg.norm(x, axis=-1)


def pairwise_distance(x: Any, other: Any, eps: float) -> Any:
    import jax.numpy as jnp

    return jnp.linalg.norm(x - other + eps, axis=-1)


def segment_sum(x: Any, ids: Any, count: int) -> Any:
    import jax

    return jax.ops.segment_sum(x, ids, count)


def segment_mean(x: Any, ids: Any, count: int) -> Any:
    import jax
    import jax.numpy as jnp

    ones = jnp.ones(len(ids), int)  # in bfloat16 they add up to 256 and no more
    sizes = jax.ops.segment_sum(ones, ids, count).astype(x.dtype)
    return jax.ops.segment_sum(x, ids, count) / jnp.reshape(sizes, (-1, *[1] * (x.ndim - 1)))


def pca(x: Any, components: int) -> Any:
    import jax.numpy as jnp

    m = jnp.mean(x, axis=0)
    values, vectors = jnp.linalg.eigh((x - m) @ (x - m).T)
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    z = vectors * jnp.sqrt(values)
    return m + vectors @ (vectors.T @ (x - m)), values, jnp.einsum("ik,jk->kij", z, z)


def pca_svd(x: Any, components: int) -> Any:
    import jax.numpy as jnp

    m = jnp.mean(x, axis=0)
    u, s, w = jnp.linalg.svd(x - m, full_matrices=False)
    z = u[:, :components] * s[:components]
    return m + z @ w[:components], jnp.square(s[:components]), jnp.einsum("ik,jk->kij", z, z)


def focal_loss(x: Any, t: Any, alpha: float | None, gamma: int, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    p = jax.nn.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    loss = (-t * jax.nn.log_sigmoid(x) - (1 - t) * jax.nn.log_sigmoid(-x)) * (1 - p_t) ** gamma
    loss = loss if alpha is None else (alpha * t + (1 - alpha) * (1 - t)) * loss
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def one_vs_rest(x: Any, t: Any, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    own = jax.nn.one_hot(t, x.shape[-1], dtype=bool)
    loss = -jnp.sum(jax.nn.log_sigmoid(jnp.where(own, x, -x)), axis=-1)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def logistic_regression(x: Any, w: Any, t: Any, reg: float) -> Any:
    import jax
    import jax.numpy as jnp

    scores = x @ w
    loss = -t * jax.nn.log_sigmoid(scores) - (1 - t) * jax.nn.log_sigmoid(-scores)
    return jnp.mean(loss) + reg * jnp.sum(w * w)


def categorical_hinge(x: Any, t: Any, reduction: str) -> Any:
    import jax
    import jax.numpy as jnp

    worst = jnp.max(jnp.where(jax.nn.one_hot(t, x.shape[-1], dtype=bool), 0, x), axis=-1)
    loss = jnp.maximum(worst - jnp.take_along_axis(x, t[:, None], axis=-1)[:, 0] + 1, 0)
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


def multilabel_margin(x: Any, t: Any, reduction: str) -> Any:
    import jax.numpy as jnp

    within = jnp.cumsum(t < 0, axis=-1) == 0
    listed = jnp.any(within[:, :, None] & (t[:, :, None] == jnp.arange(x.shape[-1])), axis=1)
    pairs = listed[:, :, None] & ~listed[:, None, :]
    h = jnp.where(pairs, jnp.maximum((1 - x)[:, :, None] + x[:, None, :], 0), 0)
    loss = jnp.sum(h, axis=(1, 2))
    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](loss)


NAN = float("nan")
OF_A_MEAN = "what jnp.mean passes back is rounded to 16 bits: seen where the rows are no power of two"
ADDS_16_BITS = "the gradient of a broadcast adds up in 16 bits, where the forward adds up in float32; \
see https://github.com/jax-ml/jax/issues/40409"
OF_A_NORM = {"*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("B")}
AT_0 = (
    "rows without their mean have the singular value 0, and where that comes out as exactly 0 the gradient of "
    "jnp.linalg.svd is NaN, see https://github.com/jax-ml/jax/issues/2311"
)
NO_GRADIENT_AT_0 = {"*/vjp/*": AT_0, "*/hvp*/*": AT_0}
# In float32, of a matrix of 1e4, the first digit is wrong (no report of it was found upstream):
#     r = np.random.default_rng(0); a, v = (jnp.asarray(m + m.T, "float32") for m in r.normal(size=(2, 4, 4)))
#     f = lambda a: jnp.linalg.eigh(a)[1][0, 0] ** 2
#     jax.jvp(jax.grad(f), (1e4 * a,), (v,))[1][0, 0], jax.vjp(jax.grad(f), 1e4 * a)[1](v)[0][0, 0]
# Of eigenvalues of some 1,000 it is up to 4.7 times the usual bound in 50 seeds; with 200 for eigh 0.96 times that.
REVERSE_TWICE = {"*/hvp-reverse/scale-10": Precision("A", ulps={"eigh": 400.0}, finding=(
    "the gradient of eigh's gradient goes through 1 / (1 + l_i - l_i), whose two parts cancel but for what is rounded: "
    "more than is left where l_i - l_j is large, and forward mode over the gradient has no such loss"
))}  # fmt: skip
NO_EIGH = {"*float16/*": "jax.numpy.linalg decomposes no matrix of 16-bit numbers"}
IN_TURN = "jax.ops.segment_sum adds each row to its segment in 16 bits"

LOST_DISTANCES = "cumulative sums in 16 bits may lose all of a distance, and a derivative divided by it has no bound"
MANY_IN_16_BITS = "a thousand squares added up in float16 have no bound: there is nothing to judge"

INF = float("inf")
UNCLIPPED = {"floor": -INF, "ceiling": INF, "at_clip": 1.0}
OF_PROBABILITIES = {"normalised": False, **UNCLIPPED, "every_log": True}

CLIPPED = {"normalised": False, "floor": 1e-7, "ceiling": 1 - 1e-7, "at_clip": 0.5, "nan_clip": NAN}

TWO_READINGS = "-1 is the last class where its score is read, and none in jax.nn.one_hot: it is the loss of no label"
EDGES = {"bad_label": "wraps", "label_dtype": "accepted", "label_shape": Raises("ValueError")}

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
                "multilabel_margin/*",
            ),
        ),
    ),
    "number": ((Raises("ValueError"), ("softmax/*", "log_softmax/*", "logsumexp/*", "euclidean_norm/*")),),
    "nan_probability": (("nan", ("binary_cross_entropy/*",)),),
    "not_finite": (("nan", ("pca/*",)),),
    "bad_label": (
        (
            {
                "*/label-minus-1": "wraps",
                "*/vjp/label-beyond": "ignored",
                "*/vjp/label-c": "ignored",
                "*/vjp/label-minus-100": "ignored",
                "*": "nan",
            },
            ("softmax_regression/*",),
        ),
    ),
    "negative_label": (("a class", ("ragged_centroid/*",)),),
    "label_dtype": (
        ({"*/label-uint64": Raises("TypeError"), "*": "accepted"}, ("ragged_centroid/*.ragged_centroid",)),
        (
            "accepted",
            (
                "ragged_centroid/*.ragged_centroid_loop",
                "ragged_centroid/*.ragged_centroid_sorted",
                "ragged_centroid/*.ragged_centroid_one_hot",
                "softmax_regression/*",
            ),
        ),
    ),
    "label_shape": (
        (Raises("TypeError"), ("ragged_centroid/*.ragged_centroid", "ragged_centroid/*.ragged_centroid_one_hot")),
        (
            Raises("ValueError"),
            (
                "ragged_centroid/*.ragged_centroid_loop",
                "ragged_centroid/*.ragged_centroid_sorted",
                "softmax_regression/*",
            ),
        ),
    ),
    "integer_input": (
        (
            "float32",
            (
                "softmax/*",
                "log_softmax/*",
                "logsumexp/*",
                "cross_entropy/*",
                "spatial_cross_entropy/*",
                "soft_cross_entropy/*",
                "sigmoid/jax.scipy.special.expit",
                "log_sigmoid/*",
                "binary_cross_entropy_with_logits/*",
                "one_vs_rest/*",
                "weighted_cross_entropy/*",
            ),
        ),
        (Raises("TypeError"), ("sigmoid/jax.nn.sigmoid", "focal_loss/*")),
    ),
    "mixed": (
        (
            "float64",
            (
                "soft_cross_entropy/*",
                "hinge/*",
                "squared_hinge/*",
                "binary_cross_entropy_with_logits/*",
                "binary_cross_entropy/*",
                "layered_cross_entropy/*",
                "categorical_cross_entropy/*",
                "margin_ranking/*",
                "pairwise_distance/*",
                "focal_loss/*",
                "weighted_cross_entropy/*",
                "softmax_regression/*",
                "multiclass_hinge/*",
                "logistic_regression/*",
            ),
        ),
        ("float32", ("hinge_embedding/*",)),
    ),
}

IMPLEMENTATIONS: tuple[Implementation, ...] = (
    Implementation(
        "softmax", "jax.nn.softmax", road="quotient",
        precision={
            "*float16/value/*": STEPWISE, "*float16/vjp/classes-*": STEPWISE,  # of which in class C little is judged
            "*float16/vjp/*": Precision("C", sharp=True, finding=ADDS_16_BITS),
        },
    ),
    Implementation(
        "log_softmax", "jax.nn.log_softmax", road="quotient",
        precision={"*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("C", sharp=True, finding=ADDS_16_BITS)},
    ),
    Implementation(
        "logsumexp", "jax.nn.logsumexp", renames={"x": "a"}, road="quotient", precision={"*float16/*": STEPWISE}
    ),
    Implementation(
        "logsumexp", "jax.scipy.special.logsumexp", renames={"x": "a"}, road="quotient",
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "cross_entropy", fn=cross_entropy, road="quotient", precision={"*float16/*": STEPWISE}, edges=EDGES
    ),
    Implementation(
        "spatial_cross_entropy", fn=spatial_cross_entropy, road="quotient", precision={"*float16/*": STEPWISE}
    ),
    Implementation(
        "soft_cross_entropy", fn=soft_cross_entropy, road="quotient", conventions={"masked": NAN},
        precision={
            "*float16/value/*": STEPWISE, "*float16/vjp/*classes-*000*": Precision("C", finding=ADDS_16_BITS),
            "*float16/vjp/*size-*": Precision("C", finding=ADDS_16_BITS),
            "*float16/vjp/*balanced": Precision("C", finding=ADDS_16_BITS),
            "*float16/vjp/*": Precision("B"),
        },
    ),
    Implementation(
        "weighted_cross_entropy", fn=weighted_cross_entropy, road="quotient",
        conventions={"denominator": "weights", "ignored_row": NAN},
        precision={
            "*float16/value/*smoothed*": Precision("B"), "*float16/value/*": STEPWISE,
            "*float16/vjp/*size-*-smoothed": Precision("C", finding=ADDS_16_BITS), "*float16/vjp/*": Precision("B"),
        },
        edges=EDGES,
    ),
    Implementation("sigmoid", "jax.nn.sigmoid", precision={"*float16/*": STEPWISE}),
    Implementation("sigmoid", "jax.scipy.special.expit", precision={"*float16/*": STEPWISE}),
    Implementation("log_sigmoid", "jax.nn.log_sigmoid", road="from-output", precision={"*float16/*": STEPWISE}),
    Implementation("hinge", fn=hinge_relu, conventions={"kink": 0.0, "nan_margin": 0.0}, precision={"*": FUSED}),
    Implementation("hinge", fn=hinge_maximum, conventions={"kink": 0.5, "nan_margin": 0.0}, precision={"*": FUSED}),
    Implementation(
        "squared_hinge", fn=squared_hinge, conventions={"nan_margin": 0.0}, precision={"*float16/*": STEPWISE}
    ),
    Implementation(
        "ragged_centroid", fn=ragged_centroid, precision={"*float16/*": Precision("C", sharp=True)}
    ),
    Implementation(
        "ragged_centroid", fn=held(ragged_centroid_loop, "delta", "over_classes", "reduction"),
        precision={"*float16/*": Precision("C")},
    ),
    Implementation(
        "ragged_centroid", fn=ragged_centroid_sorted, road="cumulative-sums", precision={"*float16/*": Precision("C")},
        unsupported={
            "float16/value/b32-*": MANY_IN_16_BITS, "bfloat16/[jh]vp*/*": LOST_DISTANCES,
        },
    ),
    Implementation("ragged_centroid", fn=ragged_centroid_one_hot, precision={"*float16/*": Precision("C")}),
    Implementation(
        "binary_cross_entropy_with_logits", fn=binary_cross_entropy_with_logits, road="two-terms",
        precision={"*float16/vjp/*pos-weight*": Precision("B"), "*float16/*": STEPWISE},
    ),
    Implementation(
        "binary_cross_entropy", fn=binary_cross_entropy, road="complement",
        conventions={**UNCLIPPED, "least_log": -INF, "least_variance": 0.0}, precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "layered_cross_entropy", fn=layered_cross_entropy, conventions=OF_PROBABILITIES,
        precision={"*float16/*": STEPWISE}, edges=EDGES,
    ),
    Implementation(
        "negative_log_likelihood", fn=negative_log_likelihood, conventions=OF_PROBABILITIES,
        precision={
            "*float16/value/*": STEPWISE,
            "*float16/vjp/mean-size-*": Precision("B", sharp=True, finding=OF_A_MEAN), "*float16/vjp/*": FUSED,
        },
        edges=EDGES,
    ),
    Implementation(
        "categorical_cross_entropy", fn=categorical_cross_entropy, conventions=CLIPPED,
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "softmax_regression", fn=softmax_regression, road="quotient", conventions={"penalty": 1.0},
        precision={"*float16/vjp/*": Precision("B"), "*float16/*": STEPWISE},
    ),
    Implementation(
        "crammer_singer_hinge", fn=crammer_singer_hinge, road="in-the-maximum",
        conventions={"kink": "tie", "tie": "split", "nan_margin": NAN}, precision={"*float16/*": STEPWISE},
        edges=EDGES | {"label_shape": {"[ej]*/labels-too-few": Raises("TypeError"), "*": Raises("ValueError")}},
        unsupported={"*/label-minus-1": TWO_READINGS},
    ),
    Implementation(
        "hinge_embedding", fn=hinge_embedding, conventions={"kink": 0.5, "nan_margin": 0.0},
        precision={"*float16/value/*": STEPWISE, "*float16/vjp/*": FUSED},
    ),
    Implementation(
        "margin_ranking", fn=margin_ranking, conventions={"kink": 0.5, "nan_margin": 0.0},
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "multiclass_hinge", fn=multiclass_hinge,
        conventions={"kink": 0.5, "nan_margin": 0.0, "nan_square": NAN, "divisor": "one"},
        precision={
            "*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("C", sharp=True, finding=ADDS_16_BITS),
        },
        edges=EDGES,
        unsupported={"*float16/vjp/label-minus-1": "the label is among the wrong ones: it is added and taken away"},
    ),
    Implementation(
        "euclidean_norm", "jax.numpy.linalg.norm", euclidean_norm, road="through-the-square",
        conventions={"at_zero": NAN}, precision=OF_A_NORM,
    ),
    Implementation(
        "pairwise_distance", fn=pairwise_distance, road="through-the-square", conventions={"at_zero": NAN},
        precision=OF_A_NORM,
    ),
    Implementation("pca", fn=pca, precision=REVERSE_TWICE, unsupported=NO_EIGH),
    Implementation("pca", fn=pca_svd, road="svd", unsupported={**NO_EIGH, **NO_GRADIENT_AT_0}),
    Implementation(
        "segment_sum", "jax.ops.segment_sum", segment_sum,
        precision={"*float16/value/*": Precision("C", sharp=True, finding=IN_TURN), "*float16/vjp/*": FUSED},
    ),
    Implementation(
        "segment_mean", fn=segment_mean, conventions={"empty": NAN},
        precision={"*float16/value/*": Precision("C", sharp=True, finding=IN_TURN), "*float16/vjp/*": STEPWISE},
    ),
    Implementation(
        "focal_loss", fn=focal_loss, road="two-terms", precision={"*float16/*": STEPWISE},
        unsupported={"float16/vjp/scale-10000": "the cotangent times the loss overflows, and infinity times 0 is NaN"},
    ),
    Implementation(
        "one_vs_rest", fn=one_vs_rest, road="of-the-margin", conventions={"divisor": "one"},
        precision={"*float16/*": STEPWISE},
        edges=EDGES
        | {"bad_label": "no class", "label_shape": {"*/value/labels-2d": "accepted", "*": Raises("ValueError")}},
    ),
    Implementation(
        "logistic_regression", fn=logistic_regression, road="two-terms", conventions={"penalty": 1.0},
        precision={"*float16/*": STEPWISE},
    ),
    Implementation(
        "categorical_hinge", fn=categorical_hinge, conventions={"kink": 0.5, "tie": "split", "nan_margin": 0.0},
        precision={"*float16/*": STEPWISE}, edges=EDGES, unsupported={"*/label-minus-1": TWO_READINGS},
    ),
    Implementation(
        "multilabel_margin", fn=multilabel_margin, conventions={"kink": 0.5, "nan_margin": 0.0, "divisor": "one"},
        precision={
            "*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("C", sharp=True, finding=ADDS_16_BITS),
        },
    ),
)  # fmt: skip
IMPLEMENTATIONS = at_edges(IMPLEMENTATIONS, AT_EDGES)

VALUE = "y = call({args})"
VJP = "y, pull = jax.vjp(lambda {wrt}: call({args}), {wrt}); (dx,) = pull(g)"
VJP_JIT = "dx = jax.jit(lambda {args}, g: jax.vjp(lambda {wrt}: call({args}), {wrt})[1](g)[0])({args}, g)"
GRADIENT = "lambda {wrt}: jax.vjp(lambda {wrt}: call({args}), {wrt})[1](g)[0]"
SHOW_DERIVED = {
    "jvp": "dx = COMPILED(lambda {args}, v: jax.jvp(lambda {wrt}: call({args}), ({wrt},), (v,))[1])({args}, v)",
    "hvp": "dx = COMPILED(lambda {args}, v, g: jax.jvp(" + GRADIENT + ", ({wrt},), (v,))[1])({args}, v, g)",
    "hvp-reverse": "dx = COMPILED(lambda {args}, v, g: jax.vjp(" + GRADIENT + ", {wrt})[1](v)[0])({args}, v, g)",
}  # fmt: skip
PROCESS = {**THREADS, "JAX_ENABLE_X64": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen={several}"}
KEEPS = {
    "JAX_COMPILATION_CACHE_DIR": "{jaxlib}", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}  # fmt: skip
SHOW = {
    "import": 'import jax; jax.config.update("jax_enable_x64", True)',
    "tensor": "jax.numpy.asarray({})", "value": VALUE, "vjp": VJP,
    **{d: text.replace("COMPILED", "") for d, text in SHOW_DERIVED.items()},
}  # fmt: skip
SHOW_JIT = {
    "compile": "jax.jit({})", "vjp": VJP_JIT,
    **{d: text.replace("COMPILED", "jax.jit") for d, text in SHOW_DERIVED.items()},
}  # fmt: skip

IMPORT_BY_ROW = f"""{SHOW["import"]}

def by_row(f):  # f of each row as a batch of one
    one = lambda *row: jax.tree_util.tree_map(lambda y: y[0], f(*(a[None] for a in row)))
    return jax.jit(jax.vmap(one))
"""
VJP_BY_ROW = "dx = by_row(lambda {args}, g: jax.vjp(lambda {wrt}: call({args}), {wrt})[1](g)[0])({args}, g)"

KNOWN_FAILURES = str(Path(__file__).with_suffix(".toml"))
BASELINE = recorded(__file__)

ADAPTERS = (
    Adapter(
        "jax", "eager", "jax", IMPLEMENTATIONS, value, value_and_vjp,
        show=SHOW, derived={d: derived(d) for d in DERIVED}, process=PROCESS, keeps=KEEPS, forget=forget, default=True,
        known_failures=KNOWN_FAILURES, baseline=BASELINE, companions=("jaxlib",),
    ),
    Adapter(
        "jax", "jit", "jax", IMPLEMENTATIONS, partial(value, compiled=jit), partial(value_and_vjp, compiled=jit),
        show=SHOW | SHOW_JIT, derived={d: derived(d, jit) for d in DERIVED},
        process=PROCESS, keeps=KEEPS, forget=forget,
        known_failures=KNOWN_FAILURES, baseline=BASELINE,
        companions=("jaxlib",),
    ),
    Adapter(
        "jax", "vmap", "jax", IMPLEMENTATIONS, value_by_row, value_and_vjp_by_row,
        show=SHOW | {"import": IMPORT_BY_ROW, "compile": "by_row({})", "vjp": VJP_BY_ROW},
        derived={d: derived_by_row(d) for d in DERIVED},
        process=PROCESS, keeps=KEEPS, forget=forget, known_failures=KNOWN_FAILURES, baseline=BASELINE,
        companions=("jaxlib",),
    ),
)  # fmt: skip
