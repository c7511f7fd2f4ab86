"""TensorFlow. See gradparity.adapters.torch for how adapter files are written."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from gradparity.adapter import COMPILED, THREADS, Adapter, AtEdges, Fn, Implementation, at_edges, redeclared
from gradparity.arithmetic import FUSED, STEPWISE, Precision
from gradparity.misrounded import recorded
from gradparity.op import DERIVED, Array, Arrays, FallbackError, Raises


def to_framework(a: Array) -> Any:
    import tensorflow as tf

    return tf.constant(a)


def to_numpy(x: Any) -> Array:
    """By way of x.numpy(): NumPy cannot convert a bfloat16 scalar tensor itself."""
    import numpy as np

    return np.asarray(x.numpy())


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
    return tuple(map(to_numpy, ys)), dict(zip(wrt, map(to_numpy, dx), strict=True))


@lru_cache(COMPILED)
def value_and_vjp_of(fn: Fn, wrt: tuple[str, ...], compiled: Any) -> Any:
    import tensorflow as tf

    def run(args: Any, g: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([args[k] for k in wrt])
            ys = fn(**args)
        dx = tape.gradient(ys[0], [args[k] for k in wrt], g, tf.UnconnectedGradients.ZERO)
        return ys, [tf.convert_to_tensor(d) for d in dx]

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
    import tensorflow as tf

    def gradient(args: Any, g: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(args[wrt])
            y = fn(**args)[0]
        return tf.convert_to_tensor(tape.gradient(y, args[wrt], g, tf.UnconnectedGradients.ZERO))

    def forward(f: Fn, args: Any, v: Any) -> Any:
        with tf.autodiff.ForwardAccumulator(args[wrt], v) as accumulator:
            y = f()
        return tf.convert_to_tensor(accumulator.jvp(y, tf.UnconnectedGradients.ZERO))

    def jvp(args: Any, v: Any) -> Any:
        return forward(lambda: fn(**args)[0], args, v)

    def hvp(args: Any, v: Any, g: Any) -> Any:
        return forward(lambda: gradient(args, g), args, v)

    def hvp_reverse(args: Any, v: Any, g: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(args[wrt])
            dx = gradient(args, g)
        return tf.convert_to_tensor(tape.gradient(dx, args[wrt], v, tf.UnconnectedGradients.ZERO))

    return compiled({"jvp": jvp, "hvp": hvp, "hvp-reverse": hvp_reverse}[what])


def forget() -> None:
    """What XLA compiled stays, 0.6 MB a program and more: TensorFlow's device_compilation_cache.h evicts nothing, not
    with the function, clear_kernel_cache or a new context either. See MOST_PER_WORKER in gradparity.plugin."""
    value_of.cache_clear()
    value_and_vjp_of.cache_clear()
    derived_of.cache_clear()


def function(f: Fn, **options: Any) -> Any:
    """Raises FallbackError where what is compiled is given numbers: tf.function is switched off."""
    import tensorflow as tf

    def traced(*args: Any) -> Any:
        if tf.executing_eagerly():
            raise FallbackError("nothing was compiled: functions run eagerly, see tf.config.run_functions_eagerly")
        return f(*args)

    tf.get_logger().setLevel("ERROR")  # it warns of every new shape, and new shapes are what is wanted
    return tf.function(traced, autograph=False, **options)


def xla(f: Fn) -> Any:
    """Raises FallbackError unless XLA must compile all of what is run."""
    compiled = function(f, jit_compile=True)

    def run(*args: Any) -> Any:
        concrete = compiled.get_concrete_function(*args)
        if not concrete.function_def.attr["_XlaMustCompile"].b:
            raise FallbackError("nothing was compiled: the function may run without XLA")
        return concrete(*args)

    return run


def cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=t, logits=x)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def spatial_cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    classes_last = tf.transpose(x, [0, *range(2, len(x.shape)), 1])
    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=t, logits=classes_last)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def soft_cross_entropy(x: Any, t: Any, label_smoothing: float, reduction: str) -> Any:
    import tensorflow as tf

    s = t * (1 - label_smoothing) + label_smoothing / t.shape[-1] if label_smoothing else t
    loss = tf.nn.softmax_cross_entropy_with_logits(labels=s, logits=x)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def weighted_cross_entropy(
    x: Any, t: Any, weight: Any, label_smoothing: float, ignore_index: int, reduction: str
) -> Any:  # fmt: skip
    import tensorflow as tf

    counts = tf.not_equal(tf.cast(t, tf.int64), ignore_index)  # unsigned labels are never below 0
    t = tf.where(counts, t, 0)
    loss = tf.gather(weight, t) * tf.nn.sparse_softmax_cross_entropy_with_logits(labels=t, logits=x)
    if label_smoothing:
        smooth = -tf.reduce_mean(weight * tf.nn.log_softmax(x), axis=-1)
        loss = (1 - label_smoothing) * loss + label_smoothing * smooth
    loss = tf.where(counts, loss, tf.zeros_like(loss))
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def sigmoid_cross_entropy(x: Any, t: Any, pos_weight: None, reduction: str) -> Any:
    import tensorflow as tf

    loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=x)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def weighted_binary_cross_entropy(x: Any, t: Any, pos_weight: float | None, reduction: str) -> Any:
    import tensorflow as tf

    weight = tf.constant(1 if pos_weight is None else pos_weight, x.dtype)
    loss = tf.nn.weighted_cross_entropy_with_logits(labels=t, logits=x, pos_weight=weight)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def negative_log_likelihood(x: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    loss = -tf.math.log(tf.gather(x, t, axis=1, batch_dims=1))
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def binary_cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    loss = -t * tf.math.log(x) - (1 - t) * tf.math.log(1 - x)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def categorical_cross_entropy(
    x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import tensorflow as tf

    p = tf.clip_by_value(x, 1e-7, 1 - 1e-7)
    s = t * (1 - label_smoothing) + label_smoothing / t.shape[-1] if label_smoothing else t
    loss = -s * tf.math.log(p)
    loss = loss if gamma == 0 else (1 - p) ** gamma * loss
    loss = tf.reduce_sum(loss if alpha is None else alpha * loss, -1)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def layered_cross_entropy(x: Any, q: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    p = tf.nn.softmax(x) + q
    loss = -tf.math.log(tf.gather(p, t, axis=1, batch_dims=1))
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss), p


def hinge_relu(x: Any, t: Any) -> Any:
    import tensorflow as tf

    return tf.nn.relu(1 - t * x)


def hinge_maximum(x: Any, t: Any) -> Any:
    import tensorflow as tf

    return tf.maximum(1 - t * x, 0)


def hinge_maximum_of_zero(x: Any, t: Any) -> Any:
    import tensorflow as tf

    return tf.maximum(tf.constant(0, x.dtype), 1 - t * x)


def squared_hinge(x: Any, t: Any) -> Any:
    import tensorflow as tf

    return tf.square(tf.nn.relu(1 - t * x))


def multiclass_hinge(x: Any, t: Any, weight: Any, p: int, margin: float, reduction: str) -> Any:
    import tensorflow as tf

    # tf.function adds the margin to the score of the label, in whatever order it is written
    z = margin - tf.gather(x, t, batch_dims=1)[:, None] + x
    h = tf.where(tf.one_hot(t, x.shape[-1], True, False, dtype=tf.bool), tf.constant(0, x.dtype), tf.maximum(z, 0))
    loss = tf.gather(weight, t) * tf.reduce_sum(h if p == 1 else tf.square(h), axis=-1)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def hinge_embedding(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import tensorflow as tf

    loss = tf.where(t > 0, x, tf.nn.relu(margin - x))
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def margin_ranking(x: Any, other: Any, t: Any, margin: float, reduction: str) -> Any:
    import tensorflow as tf

    loss = tf.nn.relu(margin - t * (x - other))
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def crammer_singer_hinge(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import tensorflow as tf

    label = tf.one_hot(t, x.shape[-1], True, False, dtype=tf.bool)
    worst = tf.reduce_max(tf.where(label, tf.constant(-float("inf"), x.dtype), x), axis=-1)
    # in this order: see multiclass_hinge
    loss = tf.maximum(margin - tf.gather(x, t, batch_dims=1) + worst, 0)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def ragged_centroid(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import tensorflow as tf

    b, n, d = x.shape
    span = tf.reduce_max(t, axis=None) + 1 if b * n else tf.constant(1, t.dtype)
    keys = tf.repeat(tf.range(b, dtype=t.dtype), n) * span + tf.reshape(t, [-1])
    present, ids = tf.unique(keys)
    k = tf.size(present)
    points = tf.reshape(x, [-1, d])
    members = tf.cast(tf.math.unsorted_segment_sum(tf.ones_like(ids), ids, k), x.dtype)
    c = tf.math.unsorted_segment_sum(points, ids, k) / members[:, None]
    square = tf.reduce_sum(tf.square(points - tf.gather(c, ids)), axis=-1)
    # tf.norm has a NaN gradient at 0, where this loss has gradient 0
    r = tf.where(square > 0, tf.sqrt(tf.where(square > 0, square, 1)), square)
    over = r - tf.constant(delta, x.dtype)
    h = tf.where(over <= 0, tf.zeros_like(over), over)
    per_class = tf.math.unsorted_segment_sum(tf.square(h), ids, k) / members
    loss = tf.math.unsorted_segment_sum(per_class, present // span, b)
    if over_classes == "mean":
        loss = loss / tf.math.unsorted_segment_sum(tf.ones_like(per_class), present // span, b)
    return loss if reduction == "none" else tf.reduce_mean(loss), tf.reshape(tf.gather(c, ids), x.shape)


def ragged_centroid_loop(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import tensorflow as tf

    def one_more(done: Any, k: Any) -> Any:
        """Of all items at once: the losses, the centroids and the classes so far, and those of class k."""
        loss, centroids, classes = done
        of_k = tf.equal(t, k)
        own = tf.cast(of_k, x.dtype)
        size = tf.maximum(tf.reduce_sum(own, axis=1), 1)
        c = tf.reduce_sum(tf.where(of_k[..., None], x, 0), axis=1, keepdims=True) / size[:, None, None]
        square = tf.reduce_sum(tf.square(tf.where(of_k[..., None], x - c, 0)), axis=-1)
        r = tf.where(square > 0, tf.sqrt(tf.where(square > 0, square, 1)), square)
        over = r - tf.constant(delta, x.dtype)
        # not ~(over <= 0): in a tf.function grappler makes over > 0 of it, which NaN is not
        h = tf.where(of_k & ((over > 0) | tf.math.is_nan(over)), over, 0)
        of_class = tf.reduce_sum(tf.square(h), axis=1) / size
        return loss + of_class, centroids + tf.where(of_k[..., None], c, 0), classes + tf.reduce_max(own, axis=1)

    nothing = tf.zeros(x.shape[0], x.dtype)
    labels = tf.unique(tf.reshape(t, [-1]))[0]
    loss, centroids, classes = tf.foldl(one_more, labels, (nothing, tf.zeros_like(x), nothing))
    loss = loss if over_classes == "sum" else loss / classes
    return loss if reduction == "none" else tf.reduce_mean(loss), centroids


def ragged_centroid_sorted(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import tensorflow as tf

    order = tf.argsort(t, axis=1, stable=True)
    labels = tf.gather(t, order, batch_dims=1)
    first, end = (tf.searchsorted(labels, labels, side) for side in ("left", "right"))
    size = tf.cast(end - first, x.dtype)

    def class_mean(rows: Any) -> Any:
        upto = tf.pad(tf.cumsum(rows, axis=1), [[0, 0], [1, 0], [0, 0]])
        return (tf.gather(upto, end, batch_dims=1) - tf.gather(upto, first, batch_dims=1)) / size[..., None]

    points = tf.gather(x, order, batch_dims=1)
    c = class_mean(points)
    square = tf.reduce_sum(tf.square(points - c), axis=-1)
    r = tf.where(square > 0, tf.sqrt(tf.where(square > 0, square, 1)), square)
    over = r - tf.constant(delta, x.dtype)
    h = tf.where(over <= 0, tf.zeros_like(over), over)
    one_each = tf.cast(tf.equal(first, tf.range(t.shape[1])), x.dtype)
    loss = tf.reduce_sum(one_each * class_mean(tf.square(h)[..., None])[..., 0], axis=1)
    loss = loss if over_classes == "sum" else loss / tf.reduce_sum(one_each, axis=1)
    centroids = tf.gather(c, tf.argsort(order, axis=1), batch_dims=1)
    return loss if reduction == "none" else tf.reduce_mean(loss), centroids


def ragged_centroid_one_hot(x: Any, t: Any, delta: float, over_classes: str, reduction: str) -> Any:
    import tensorflow as tf

    one_hot = tf.cast(tf.equal(t[..., None], tf.unique(tf.reshape(t, [-1]))[0]), x.dtype)
    sizes = tf.reduce_sum(one_hot, axis=1)
    c = one_hot @ (tf.matmul(one_hot, x, transpose_a=True) / tf.maximum(sizes, 1)[..., None])
    square = tf.reduce_sum(tf.square(x - c), axis=-1)
    r = tf.where(square > 0, tf.sqrt(tf.where(square > 0, square, 1)), square)
    over = r - tf.constant(delta, x.dtype)
    h = tf.where(over <= 0, tf.zeros_like(over), over)
    of_class = tf.matmul(one_hot, tf.square(h)[..., None], transpose_a=True)[..., 0] / tf.maximum(sizes, 1)
    loss = tf.reduce_sum(of_class, axis=1)
    if over_classes == "mean":
        loss = loss / tf.reduce_sum(tf.cast(sizes > 0, x.dtype), axis=1)
    return loss if reduction == "none" else tf.reduce_mean(loss), c


def softmax_regression(x: Any, w: Any, t: Any, reg: float) -> Any:
    import tensorflow as tf

    loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=t, logits=x @ w)
    return tf.reduce_mean(loss) + reg * tf.nn.l2_loss(w)


def euclidean_norm(x: Any) -> Any:
    import tensorflow as tf

    return tf.norm(x, axis=-1)


def pairwise_distance(x: Any, other: Any, eps: float) -> Any:
    import tensorflow as tf

    return tf.norm(x - other + tf.constant(eps, x.dtype), axis=-1)


def segment_sum(x: Any, ids: Any, count: int) -> Any:
    import tensorflow as tf

    return tf.math.unsorted_segment_sum(x, ids, count)


def segment_mean(x: Any, ids: Any, count: int) -> Any:
    import tensorflow as tf

    return tf.math.unsorted_segment_mean(x, ids, count)


def pca(x: Any, components: int) -> Any:
    import tensorflow as tf

    m = tf.reduce_mean(x, axis=0)
    values, vectors = tf.linalg.eigh(tf.matmul(x - m, x - m, transpose_b=True))
    values, vectors = values[::-1][:components], vectors[:, ::-1][:, :components]
    z = vectors * tf.sqrt(values)
    reconstruction = m + vectors @ tf.matmul(vectors, x - m, transpose_a=True)
    return reconstruction, values, tf.einsum("ik,jk->kij", z, z)


def pca_svd(x: Any, components: int) -> Any:
    import tensorflow as tf

    m = tf.reduce_mean(x, axis=0)
    s, u, w = tf.linalg.svd(x - m)
    z = u[:, :components] * s[:components]
    reconstruction = m + tf.matmul(z, w[:, :components], transpose_b=True)
    return reconstruction, tf.square(s[:components]), tf.einsum("ik,jk->kij", z, z)


def focal_loss(x: Any, t: Any, alpha: float | None, gamma: int, reduction: str) -> Any:
    import tensorflow as tf

    p = tf.sigmoid(x)
    p_t = p * t + (1 - p) * (1 - t)
    loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=x) * (1 - p_t) ** gamma
    loss = loss if alpha is None else (alpha * t + (1 - alpha) * (1 - t)) * loss
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def one_vs_rest(x: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    label = tf.one_hot(t, x.shape[-1], dtype=x.dtype)
    loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=x), axis=-1)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def logistic_regression(x: Any, w: Any, t: Any, reg: float) -> Any:
    import tensorflow as tf

    loss = tf.nn.sigmoid_cross_entropy_with_logits(labels=t, logits=tf.linalg.matvec(x, w))
    return tf.reduce_mean(loss) + reg * tf.nn.l2_loss(w)


def categorical_hinge(x: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    label = tf.one_hot(t, x.shape[-1], True, False, dtype=tf.bool)
    worst = tf.reduce_max(tf.where(label, tf.constant(0, x.dtype), x), axis=-1)
    # in this order: see multiclass_hinge
    loss = tf.maximum(1 - tf.gather(x, t, batch_dims=1) + worst, 0)
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


def multilabel_margin(x: Any, t: Any, reduction: str) -> Any:
    import tensorflow as tf

    within = tf.equal(tf.cumsum(tf.cast(t < 0, t.dtype), axis=-1), 0)
    listed = tf.reduce_any(within[:, :, None] & tf.equal(t[:, :, None], tf.range(x.shape[-1], dtype=t.dtype)), axis=1)
    pairs = listed[:, :, None] & ~listed[:, None, :]
    h = tf.where(pairs, tf.nn.relu((1 - x)[:, :, None] + x[:, None, :]), tf.constant(0, x.dtype))
    loss = tf.reduce_sum(h, axis=[1, 2])
    return {"none": tf.identity, "sum": tf.reduce_sum, "mean": tf.reduce_mean}[reduction](loss)


NAN = float("nan")
F16_SOFTMAX = "float16 takes the path of many roundings where bfloat16 is computed in float32 by oneDNN"
# What holds with oneDNN and without: TensorFlow takes it by itself where the processor has VNNI or bfloat16.
BF16_SOFTMAX = "without AVX-512 bfloat16 takes the path of many roundings, with it oneDNN's of one"
BF16_MATMUL = "without AVX-512 a product of matrices is rounded to bfloat16 more than once"
F16_SUMS = "tf.reduce_sum adds up float16 in float16, bfloat16 in float32"
F16_SUM = "tf.reduce_sum and tf.reduce_mean add up in float16, the losses themselves are computed in float32"
LOSSES = "the losses are rounded to 16 bits before tf.reduce_sum or tf.reduce_mean adds them up"
EXPONENTIALS = "tf.nn.log_softmax adds up the exponentials in 16 bits: seen where the classes are many, or many rows"
OF_A_MEAN = "what tf.reduce_mean passes back is rounded to 16 bits: seen where the rows are no power of two"
SMOOTHED = "the API does not smooth: the smoothed targets are rounded to 16 bits before it sees them"
BF16_LOSS = "every step is rounded to bfloat16, where float16 is computed in float32"
TRUNCATED = "softplus(x) is exp(x) below log(eps) + 2, which drops exp(x)^2 / 2: 7 units in the last place of 16 bits"
# a quotient of polynomials, up to 5.7 units in the last place off; the other frameworks divide by 1 + exp(-x)
RATIONAL = Precision("A", ulps={"divide": 5})
F16_REDUCED = dict.fromkeys(
    ("float16/value/sum-*", "float16/value/mean-*"), Precision("C", sharp=True, finding=F16_SUM)
)
REDUCED_BY_TF = {
    "float16/value/mean-large-losses": STEPWISE,  # a known failure; where a sum may overflow class C allows all
    **F16_REDUCED,
    "*float16/vjp/*": Precision("B"), "*float16/*": STEPWISE,
}  # fmt: skip
# the gradient of log is g times tf.math.reciprocal, an estimate that one Newton step leaves 2.6 units in the last place
# off (at 1 too), 3.3 with the product: the largest of two million arguments
RECIPROCAL = Precision("A", ulps={"divide": 3.5})
OF_A_NORM = {
    "bfloat16/value/*": STEPWISE, "float16/value/*": Precision("C", finding=F16_SUMS), "*float16/*": Precision("B"),
}  # fmt: skip
NO_EIGH = {"*float16/*": "tf.linalg decomposes no matrix of 16-bit numbers"}
IN_TURN = "each row is added to its segment in 16 bits"
ADDED_IN_TURN = {
    "*float16/value/*": Precision("C", sharp=True, finding=IN_TURN), "*float16/vjp/*": FUSED,
}  # fmt: skip

LOST_DISTANCES = "cumulative sums in 16 bits may lose all of a distance, and a derivative divided by it has no bound"
MANY_IN_16_BITS = "a thousand squares added up in float16 have no bound: there is nothing to judge"

INF = float("inf")
UNCLIPPED = {"floor": -INF, "ceiling": INF, "at_clip": 1.0}
OF_PROBABILITIES = {"normalised": False, **UNCLIPPED, "every_log": False}

CLIPPED = {"normalised": False, "floor": 1e-7, "ceiling": 1 - 1e-7, "at_clip": 1.0, "nan_clip": 0.0}

OUT_OF_RANGE = Raises("InvalidArgumentError")
NO_KERNEL = {"eager/*": Raises("InvalidArgumentError"), "*": Raises("TypeError")}
EDGES = {
    "bad_label": {"xla/*": "nan", "*": OUT_OF_RANGE}, "label_dtype": {"*/label-int32": "accepted", **NO_KERNEL},
    "label_shape": Raises("ValueError"),
}  # fmt: skip
# a column of labels is said to be taken for a row of them, and is not: known failures
GATHER_EDGES = EDGES | {
    "label_shape": {"*/labels-2d": "accepted", "eager/*": Raises("InvalidArgumentError"), "*": Raises("ValueError")}
}
NLL_EDGES = EDGES | {
    "label_dtype": {"*/label-int32": "accepted", "*/label-int16": "accepted", **NO_KERNEL},
    "label_shape": {
        "*/value/labels-2d": "accepted", "[fx]*/vjp/*": Raises("ValueError"), "*": Raises("InvalidArgumentError"),
    },
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
                "multilabel_margin/*",
            ),
        ),
    ),
    "number": (
        # of oneDNN or of TensorFlow itself: the processor decides which of them runs
        ({"eager/*": Raises("AbortedError or InvalidArgumentError"), "*": Raises("ValueError")}, ("softmax/*",)),
        (
            {"eager/*": Raises("InvalidArgumentError"), "*": Raises("ValueError")},
            ("log_softmax/*", "logsumexp/*", "euclidean_norm/*"),
        ),
    ),
    "nan_probability": (("nan", ("binary_cross_entropy/*",)),),
    "not_finite": (
        ({"xla/*": "nan", "*": Raises("InvalidArgumentError")}, ("pca/*.pca",)),
        ("nan", ("pca/*.pca_svd",)),
    ),
    "bad_label": (({"xla/*": "nan", "*": Raises("InvalidArgumentError")}, ("softmax_regression/*",)),),
    "negative_label": (("a class", ("ragged_centroid/*",)),),
    "label_dtype": (
        (
            {
                "*/label-int32": "accepted",
                "eager/*/label-int16": Raises("NotFoundError"),
                "eager/*/label-int8": Raises("NotFoundError"),
                "eager/*/label-uint16": Raises("NotFoundError"),
                "eager/*/label-uint32": Raises("NotFoundError"),
                "eager/*/label-uint64": Raises("NotFoundError"),
                "eager/*/label-uint8": Raises("InvalidArgumentError"),
                "function/*/label-int16": Raises("InvalidArgumentError"),
                "xla/*/label-int16": Raises("InvalidArgumentError"),
                "*": Raises("TypeError"),
            },
            ("ragged_centroid/*.ragged_centroid",),
        ),
        ("accepted", ("ragged_centroid/*.ragged_centroid_loop", "ragged_centroid/*.ragged_centroid_one_hot")),
        (
            {"xla/*/label-uint16": Raises("InvalidArgumentError"), "*": "accepted"},
            ("ragged_centroid/*.ragged_centroid_sorted",),
        ),
        (
            {
                "*/label-int32": "accepted",
                "eager/*/label-int16": Raises("InvalidArgumentError"),
                "eager/*/label-int8": Raises("InvalidArgumentError"),
                "eager/*/label-uint16": Raises("InvalidArgumentError"),
                "eager/*/label-uint32": Raises("InvalidArgumentError"),
                "eager/*/label-uint64": Raises("InvalidArgumentError"),
                "eager/*/label-uint8": Raises("InvalidArgumentError"),
                "*": Raises("TypeError"),
            },
            ("softmax_regression/*",),
        ),
    ),
    "label_shape": (
        (
            {"eager/*": Raises("InvalidArgumentError"), "*": Raises("ValueError")},
            (
                "ragged_centroid/*.ragged_centroid",
                "ragged_centroid/*.ragged_centroid_loop",
                "ragged_centroid/*.ragged_centroid_one_hot",
            ),
        ),
        (Raises("ValueError"), ("ragged_centroid/*.ragged_centroid_sorted", "softmax_regression/*")),
    ),
    "integer_input": (
        (
            {"eager/*": Raises("InvalidArgumentError"), "*": Raises("TypeError")},
            (
                "softmax/*",
                "log_softmax/*",
                "logsumexp/*",
                "cross_entropy/*",
                "spatial_cross_entropy/*",
                "soft_cross_entropy/*",
                "weighted_cross_entropy/*",
                "sigmoid/*",
                "log_sigmoid/*",
                "binary_cross_entropy_with_logits/*",
                "focal_loss/*",
                "one_vs_rest/*",
            ),
        ),
    ),
    "mixed": (
        ("float32", ("soft_cross_entropy/*", "hinge_embedding/*")),
        (
            {"eager/*": Raises("InvalidArgumentError"), "*": Raises("TypeError")},
            (
                "weighted_cross_entropy/*",
                "hinge/*",
                "squared_hinge/*",
                "binary_cross_entropy_with_logits/*",
                "binary_cross_entropy/*",
                "layered_cross_entropy/*",
                "categorical_cross_entropy/*",
                "softmax_regression/*",
                "margin_ranking/*",
                "multiclass_hinge/*",
                "pairwise_distance/*",
                "focal_loss/*",
                "logistic_regression/*",
            ),
        ),
    ),
}

IMPLEMENTATIONS: tuple[Implementation, ...] = (
    Implementation(
        "softmax", "tf.nn.softmax", renames={"x": "logits"},
        precision={
            "float16/value/*": Precision("B", finding=F16_SOFTMAX),
            "bfloat16/value/*": Precision("B", finding=BF16_SOFTMAX), "bfloat16/vjp/*": STEPWISE,
            "float16/vjp/*": Precision("C", sharp=True, finding=F16_SUMS),
        },
    ),
    Implementation(
        "log_softmax", "tf.nn.log_softmax", renames={"x": "logits"},
        precision={
            "*float16/value/*size-*": Precision("C", finding=EXPONENTIALS), "*float16/value/*": Precision("B"),
            "bfloat16/vjp/*size-*": Precision("B"), "bfloat16/vjp/*": STEPWISE,
            "float16/vjp/*": Precision("C", sharp=True, finding=F16_SUMS),
        },
    ),
    Implementation(
        "logsumexp", "tf.reduce_logsumexp", renames={"x": "input_tensor"}, road="quotient",
        precision={"float16/*": Precision("C", sharp=True, finding=F16_SUMS), "*float16/*": STEPWISE},
    ),
    Implementation(
        "cross_entropy", "tf.nn.sparse_softmax_cross_entropy_with_logits", cross_entropy,
        precision={
            "float16/value/mean-*": Precision("B", finding=F16_SUM),
            "float16/value/sum-*": Precision("B", finding=F16_SUM),
            "float16/value/*": Precision("A"),
            "float16/vjp/*": STEPWISE, "bfloat16/*": Precision("B", finding=BF16_LOSS),
        },
        edges=EDGES,
    ),
    Implementation(
        "spatial_cross_entropy", fn=spatial_cross_entropy,
        precision={
            "float16/value/mean-*": Precision("B", finding=F16_SUM),
            "float16/value/sum-*": Precision("B", finding=F16_SUM),
            "float16/value/*": Precision("A"),
            "float16/vjp/*": STEPWISE, "bfloat16/*": Precision("B", finding=BF16_LOSS),
        },
    ),
    Implementation(
        "soft_cross_entropy", "tf.nn.softmax_cross_entropy_with_logits", soft_cross_entropy,
        conventions={"masked": NAN},
        precision={
            "*float16/*/*smoothed*": Precision("B", sharp=True, finding=SMOOTHED),
            "*float16/value/*mean*": Precision("B", sharp=True, finding=LOSSES),
            "*float16/value/sum-*": Precision("B", sharp=True, finding=LOSSES),
            "*float16/vjp/mean-size-*": Precision("B", sharp=True, finding=OF_A_MEAN),
            "*float16/*": FUSED,
        },
    ),
    Implementation(
        "weighted_cross_entropy", fn=weighted_cross_entropy, road="row-by-row",
        conventions={"denominator": "rows", "ignored_row": NAN},
        precision={
            "float16/value/*size-*smoothed": Precision("C", finding=F16_SUM),
            "float16/value/*smoothed*": Precision("C", sharp=True, finding=F16_SUM),
            "float16/value/*size-*": Precision("C", sharp=True, finding=F16_SUM),
            "float16/value/*": STEPWISE, "bfloat16/value/*": Precision("B", finding=BF16_LOSS),
            "*float16/vjp/*": Precision("B"),
        },
        edges=EDGES,
    ),
    Implementation(
        "sigmoid", "tf.sigmoid",
        precision={"float16/value/*": Precision("B"), "*float16/*": STEPWISE, "float32/*": RATIONAL},
    ),
    Implementation(
        "log_sigmoid", "tf.math.log_sigmoid", road="softplus",
        precision={
            "bfloat16/value/*": Precision("B", ulps={"log1p": 4.5}, finding=TRUNCATED),
            "float16/*": Precision("B"), "bfloat16/vjp/*": STEPWISE, "float32/vjp/*": RATIONAL,
        },
    ),
    Implementation("hinge", fn=hinge_relu, conventions={"kink": 0.0, "nan_margin": 0.0}, precision={"*": FUSED}),
    Implementation("hinge", fn=hinge_maximum, conventions={"kink": 1.0, "nan_margin": 0.0}, precision={"*": FUSED}),
    Implementation(
        "hinge", fn=hinge_maximum_of_zero, conventions={"kink": 0.0, "nan_margin": 1.0}, precision={"*": FUSED}
    ),
    Implementation(
        "squared_hinge", fn=squared_hinge, conventions={"nan_margin": NAN}, precision={"*float16/*": STEPWISE}
    ),
    Implementation(
        "ragged_centroid", fn=ragged_centroid, precision={"*float16/*": Precision("C", sharp=True)}
    ),
    Implementation("ragged_centroid", fn=ragged_centroid_loop, precision={"*float16/*": Precision("C")}),
    Implementation(
        "ragged_centroid", fn=ragged_centroid_sorted, road="cumulative-sums", precision={"*float16/*": Precision("C")},
        unsupported={
            "float16/value/b32-*": MANY_IN_16_BITS, "bfloat16/[jh]vp*/*": LOST_DISTANCES,
            "float16/hvp*/singletons": LOST_DISTANCES,
            "float16/value/scale-30":
            "of some inputs two cumulative sums are infinite in float16, and their difference NaN",
        },
    ),
    Implementation("ragged_centroid", fn=ragged_centroid_one_hot, precision={"*float16/*": Precision("C")}),
    Implementation(
        "binary_cross_entropy_with_logits", "tf.nn.sigmoid_cross_entropy_with_logits", sigmoid_cross_entropy,
        road="sigmoid-and-target", precision=REDUCED_BY_TF,
        unsupported={"*pos-weight*": "it has no weight of positive targets"},
    ),
    Implementation(
        "binary_cross_entropy_with_logits", "tf.nn.weighted_cross_entropy_with_logits", weighted_binary_cross_entropy,
        road="one-minus-target", precision=REDUCED_BY_TF,
    ),
    Implementation(
        "binary_cross_entropy", fn=binary_cross_entropy, road="complement",
        conventions={**UNCLIPPED, "least_log": -INF, "least_variance": 0.0},
        precision={**F16_REDUCED, "*float16/*": STEPWISE, "float32/vjp/*": RECIPROCAL},
    ),
    Implementation(
        "layered_cross_entropy", fn=layered_cross_entropy, conventions=OF_PROBABILITIES,
        precision={
            **dict.fromkeys(F16_REDUCED, Precision("C", finding=F16_SUM)),
            "float16/v*": Precision("B"),  # the softmax rounds in other steps than ours, and the gradient is made of it
            "bfloat16/v*": Precision("B", finding=BF16_SOFTMAX), "*float16/*": STEPWISE, "float32/vjp/*": RECIPROCAL,
        },
        edges=NLL_EDGES,
    ),
    Implementation(
        "negative_log_likelihood", fn=negative_log_likelihood,
        conventions=OF_PROBABILITIES,
        precision={**F16_REDUCED, "*float16/*": STEPWISE, "float32/vjp/*": RECIPROCAL},
        edges=NLL_EDGES,
    ),
    Implementation(
        "categorical_cross_entropy", fn=categorical_cross_entropy, conventions=CLIPPED,
        precision={
            # compiled, a factor is moved to another place (grappler's arithmetic optimization): its rounding too
            "bfloat16/value/*alpha*": Precision("B"), "float16/value/*alpha*": Precision("C", finding=F16_SUMS),
            "float16/value/*": Precision("C", sharp=True, finding=F16_SUMS), "*float16/*": STEPWISE,
            "float32/vjp/*": RECIPROCAL,
        },
    ),
    Implementation(
        "softmax_regression", fn=softmax_regression, conventions={"penalty": 0.5},
        precision={"*float16/*": Precision("B")},
    ),
    Implementation(
        "crammer_singer_hinge", fn=crammer_singer_hinge, road="from-the-margin",
        conventions={"kink": 1.0, "tie": "split", "nan_margin": 0.0}, precision={"*float16/*": STEPWISE},
        edges=GATHER_EDGES,
    ),
    Implementation(
        "hinge_embedding", fn=hinge_embedding, conventions={"kink": 0.0, "nan_margin": 0.0},
        precision={
            "float16/value/mean-large-losses": Precision("B", finding=F16_SUM),
            "float16/value/mean-*": Precision("C", sharp=True, finding=F16_SUM),
            "float16/value/sum-*": Precision("C", sharp=True, finding=F16_SUM),
            "*float16/*": STEPWISE,
        },
    ),
    Implementation(
        "margin_ranking", fn=margin_ranking, conventions={"kink": 0.0, "nan_margin": 0.0},
        precision={
            "float16/value/mean-*": Precision("C", sharp=True, finding=F16_SUM),
            "float16/value/sum-*": Precision("C", sharp=True, finding=F16_SUM), "*float16/*": STEPWISE,
        },
    ),
    Implementation(
        "multiclass_hinge", fn=multiclass_hinge, road="from-the-margin",
        conventions={"kink": 1.0, "nan_margin": 0.0, "nan_square": 0.0, "divisor": "one"},
        precision={"float16/*": Precision("C", sharp=True, finding=F16_SUMS), "*float16/*": STEPWISE},
        edges=GATHER_EDGES,
    ),
    Implementation(
        "euclidean_norm", "tf.norm", euclidean_norm, road="through-the-square", conventions={"at_zero": NAN},
        precision=OF_A_NORM,
    ),
    Implementation(
        "pairwise_distance", fn=pairwise_distance, road="through-the-square", conventions={"at_zero": NAN},
        precision=OF_A_NORM,
    ),
    Implementation("pca", fn=pca, unsupported=NO_EIGH),
    Implementation("pca", fn=pca_svd, road="svd", unsupported=NO_EIGH),
    Implementation("segment_sum", "tf.math.unsorted_segment_sum", segment_sum, precision=ADDED_IN_TURN),
    Implementation(
        "segment_mean", "tf.math.unsorted_segment_mean", segment_mean, conventions={"empty": 0.0},
        precision=ADDED_IN_TURN,
    ),
    Implementation(
        "focal_loss", fn=focal_loss, road="sigmoid-and-target",
        precision={
            "float16/value/mean-large-losses": STEPWISE, **F16_REDUCED, "bfloat16/value/*": STEPWISE,
            # not sharp: of float16, tf.sigmoid is up to 1.76 units in the last place off, at -2.06
            "*float16/*": Precision("B"),
        },
        unsupported={"float16/vjp/scale-10000": "the cotangent times the loss overflows, and infinity times 0 is NaN"},
    ),
    Implementation(
        "one_vs_rest", fn=one_vs_rest, road="sigmoid-and-target", conventions={"divisor": "one"},
        precision={
            "float16/value/*": Precision("C", sharp=True, finding=F16_SUMS), "*float16/vjp/*": Precision("B"),
            "*float16/*": STEPWISE,
        },
        edges=EDGES | {
            "bad_label": "no class",
            "label_dtype": {"*/label-*int8": "accepted", "*/label-int32": "accepted", **NO_KERNEL},
        },
    ),
    Implementation(
        "logistic_regression", fn=logistic_regression, road="sigmoid-and-target", conventions={"penalty": 0.5},
        precision={
            "bfloat16/vjp/separated": Precision("C", finding=BF16_MATMUL),
            "bfloat16/vjp/reg-3-scale-10": Precision("C", finding=BF16_MATMUL), "*float16/*": Precision("B"),
        },
    ),
    Implementation(
        "categorical_hinge", fn=categorical_hinge, road="from-the-margin",
        conventions={"kink": 1.0, "tie": "split", "nan_margin": 0.0},
        precision={"float16/value/mean-size-*": Precision("C", sharp=True, finding=F16_SUM), "*float16/*": STEPWISE},
        edges=GATHER_EDGES,
    ),
    Implementation(
        "multilabel_margin", fn=multilabel_margin, conventions={"kink": 0.0, "nan_margin": 0.0, "divisor": "one"},
        precision={"float16/*": Precision("C", sharp=True, finding=F16_SUMS), "*float16/*": STEPWISE},
    ),
)  # fmt: skip
IMPLEMENTATIONS = at_edges(IMPLEMENTATIONS, AT_EDGES)

AS_LONG = "compiled by XLA, tf.unique is as long as what it is given: of 8,000 labels the gradient takes gigabytes"
# tf2xla tells XLA to stop where what is not diagonal is at most 1e-6 of the norm, which in float32 is no loss:
# https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/compiler/tf2xla/kernels/xla_self_adjoint_eig_op.cc
LOOSE = "XLA's decompositions stop at 1e-6: residuals of 1e-6 of the norm in float64, where eager mode has some 1e-15"
TO_1E_6 = Precision("A", ulps=dict.fromkeys(("eigh", "svd"), 1e-6 * 2**53), finding=LOOSE)
NOT_TOLD_APART = "two eigenvalues nearer to each other than 1e-6 are not told apart: their gradient has no bound"
# What XLA does otherwise: terms of weight 0 are left out, it selects where others multiply, adds up 16 bits in float32.
STEPWISE_VALUE = {"precision": {"float16/value/*": STEPWISE}}
STEPWISE_IN_BOTH = {"precision": {"float16/*": STEPWISE}}
ADDED_UP = dict.fromkeys(("float16/value/sum-*", "float16/value/mean-*"), Precision("B", sharp=True, finding=LOSSES))
OF_LOGITS = {"precision": {**ADDED_UP, "float16/value/*": FUSED}}
OF_A_LOGISTIC = {"precision": {"float16/value/*": Precision("B", ulps={"log1p": 4.5}, finding=TRUNCATED)}}
LONG = dict.fromkeys(("*/many-items", "*/b32-*", "*/*size-????x*", "*/*size-?????x*", "*/*size-??????x*"), AS_LONG)
BY_ALL = "compiled by XLA, tf.searchsorted compares each label with each: of 65,536 that is gigabytes"
NO_RULE_IN_XLA = "forward mode over the gradient: TensorFlow has no derivative of XlaDynamicUpdateSlice, and says so"
IN_XLA = redeclared(IMPLEMENTATIONS, {
    "binary_cross_entropy/*": STEPWISE_VALUE,
    "binary_cross_entropy_with_logits/*": OF_A_LOGISTIC,
    "categorical_cross_entropy/*": STEPWISE_VALUE,
    "cross_entropy/*": OF_LOGITS,
    "euclidean_norm/*": STEPWISE_VALUE,
    "focal_loss/*": OF_A_LOGISTIC,
    "hinge_embedding/*": STEPWISE_VALUE,
    "layered_cross_entropy/*": {"precision": {"*float16/value/*": STEPWISE, "bfloat16/vjp/*": STEPWISE}},
    "log_sigmoid/*": OF_A_LOGISTIC,
    "log_softmax/*": {"precision": {"float16/vjp/*": STEPWISE}},
    "logistic_regression/*": {"precision": {"bfloat16/vjp/*": Precision("B")}},
    "logsumexp/*": STEPWISE_IN_BOTH,
    "margin_ranking/*": STEPWISE_VALUE,
    "multiclass_hinge/*": STEPWISE_IN_BOTH,
    "multilabel_margin/*": STEPWISE_IN_BOTH,
    "negative_log_likelihood/*": STEPWISE_VALUE,
    "one_vs_rest/*": {"precision": {"float16/value/*": Precision("B")}},
    "pairwise_distance/*": STEPWISE_VALUE,
    "pca/*": {
        "precision": {"float64/*": TO_1E_6},
        "unsupported": {"float64/vjp/gap-root-of-u": NOT_TOLD_APART, "float64/vjp/pair-within": NOT_TOLD_APART},
    },
    "ragged_centroid/*_loop": {"unsupported": LONG},
    "ragged_centroid/*_one_hot": {"unsupported": LONG},
    "ragged_centroid/*_sorted": {
        "unsupported": {**dict.fromkeys(("*/*size-6????x*", "*/*size-1?????x*"), BY_ALL), "*/hvp/*": NO_RULE_IN_XLA},
    },
    "soft_cross_entropy/*": {"conventions": {"masked": 0.0}},
    "softmax/*": {"precision": {"*float16/*": STEPWISE}},
    "spatial_cross_entropy/*": OF_LOGITS,
    "squared_hinge/*": {"conventions": {"nan_margin": 0.0}},
    "weighted_cross_entropy/*": {"precision": {
        "float16/value/*smoothed": Precision("B"), "float16/value/*": STEPWISE,
    }},
})  # fmt: skip

VALUE = "y = call({args})"
VJP = "\n".join((
    "with tf.GradientTape() as tape:",
    "    tape.watch({wrt})",
    "    y = call({args})",
    "dx = tape.gradient(y, {wrt}, g)",
))  # fmt: skip
VJP_FUNCTION = "\n".join((
    "@tf.function(autograph=False)",
    "def gradient({args}, g):",
    *(f"    {line}" for line in VJP.splitlines()[:-1]),
    "    return tape.gradient(y, {wrt}, g)",
    "dx = gradient({args}, g)",
))  # fmt: skip
GRADIENT = """
    with tf.GradientTape() as tape:
        tape.watch({wrt})
        y = call({args})
    dx = tape.gradient(y, {wrt}, g, tf.UnconnectedGradients.ZERO)"""
ZERO = "tf.UnconnectedGradients.ZERO"
SHOW_DERIVED = {
    "jvp": f"""def derived({{args}}, v):
    with tf.autodiff.ForwardAccumulator({{wrt}}, v) as accumulator:
        y = call({{args}})
    return tf.convert_to_tensor(accumulator.jvp(y, {ZERO}))
dx = derived({{args}}, v)
""",
    "hvp": f"""def derived({{args}}, v, g):
    with tf.autodiff.ForwardAccumulator({{wrt}}, v) as accumulator:{
        GRADIENT.replace(
            '''
''',
            '''
    ''',
        )
    }
    return tf.convert_to_tensor(accumulator.jvp(tf.convert_to_tensor(dx), {ZERO}))
dx = derived({{args}}, v, g)
""",
    "hvp-reverse": f"""def derived({{args}}, v, g):
    with tf.GradientTape() as outer:
        outer.watch({{wrt}}){
        GRADIENT.replace(
            '''
''',
            '''
    ''',
        )
    }
    return tf.convert_to_tensor(outer.gradient(tf.convert_to_tensor(dx), {{wrt}}, v, {ZERO}))
dx = derived({{args}}, v, g)
""",
}
COMPILE = "tf.function({}, autograph=False)"
PROCESS = {
    **THREADS, "TF_NUM_INTRAOP_THREADS": "{threads}", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3",
}  # fmt: skip
XLA = {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen={several}"}
# TensorFlow knows a program by its graph, not by what compiled it and with which flags: the folder is of one build, and
# these are the flags.
KEEPS = {"TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory={tensorflow}"}
SHOW = {
    "import": "import tensorflow as tf", "tensor": "tf.constant({})", "array": "{}.numpy()", "value": VALUE, "vjp": VJP,
    **SHOW_DERIVED,
}  # fmt: skip
SHOW_FUNCTION = {
    "compile": COMPILE, "vjp": VJP_FUNCTION,
    **{d: "@tf.function(autograph=False)\n" + SHOW[d] for d in SHOW_DERIVED},
}  # fmt: skip
SHOW_XLA = {
    k: text.replace("autograph=False", "autograph=False, jit_compile=True") for k, text in SHOW_FUNCTION.items()
}  # fmt: skip
KNOWN_FAILURES = str(Path(__file__).with_suffix(".toml"))
BASELINE = recorded(__file__)

ADAPTERS = (
    Adapter(
        "tensorflow", "eager", "tensorflow", IMPLEMENTATIONS, value, value_and_vjp,
        show=SHOW, derived={d: derived(d) for d in DERIVED}, alias="tf", process=PROCESS, forget=forget, default=True,
        known_failures=KNOWN_FAILURES, baseline=BASELINE,
    ),
    Adapter(
        "tensorflow", "function", "tensorflow", IMPLEMENTATIONS,
        partial(value, compiled=function), partial(value_and_vjp, compiled=function),
        show=SHOW | SHOW_FUNCTION, derived={d: derived(d, function) for d in DERIVED},
        alias="tf", process=PROCESS, forget=forget,
        known_failures=KNOWN_FAILURES, baseline=BASELINE,
    ),
    Adapter(
        "tensorflow", "xla", "tensorflow", IN_XLA, partial(value, compiled=xla), partial(value_and_vjp, compiled=xla),
        show=SHOW | SHOW_XLA, derived={d: derived(d, xla) for d in DERIVED},
        alias="tf", process=PROCESS | XLA, keeps=KEEPS, forget=forget,
        known_failures=KNOWN_FAILURES, baseline=BASELINE,
    ),
)  # fmt: skip
