"""Keras on its three backends: its verbs are those of the backend's adapter, its mode is named after it. A process has
one backend, which KERAS_BACKEND names before keras is imported."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial, wraps
from pathlib import Path
from typing import Any

from gradparity.adapter import Adapter, AtEdges, Fn, Implementation, at_edges
from gradparity.adapters import jax, tensorflow, torch
from gradparity.arithmetic import FUSED, STEPWISE, Precision
from gradparity.op import DERIVED, GradparityError, Raises


def on(backend: str, verb: Fn) -> Fn:
    """A verb of the backend's adapter. Raises GradparityError where keras computes with another backend."""

    @wraps(verb)
    def checked(*arguments: Any, **options: Any) -> Any:
        import keras

        if keras.config.backend() != backend:
            raise GradparityError(
                f"keras computes with {keras.config.backend()} here: set KERAS_BACKEND={backend} before it is imported"
            )
        return verb(*arguments, **options)

    return checked


def sparse_categorical_crossentropy_of_logits(x: Any, t: Any, reduction: str) -> Any:
    import keras

    return keras.losses.sparse_categorical_crossentropy(t, x, from_logits=True)


def sparse_categorical_crossentropy_class_of_logits(x: Any, t: Any, reduction: str) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction, dtype=dtype)(t, x)


def categorical_crossentropy_of_logits(x: Any, t: Any, label_smoothing: float, reduction: str) -> Any:
    import keras

    return keras.losses.categorical_crossentropy(t, x, from_logits=True, label_smoothing=label_smoothing)


def categorical_crossentropy_class_of_logits(x: Any, t: Any, label_smoothing: float, reduction: str) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.losses.CategoricalCrossentropy(True, label_smoothing, reduction=reduction, dtype=dtype)(t, x)


def binary_crossentropy_of_logits(x: Any, t: Any, pos_weight: None, reduction: str) -> Any:
    import keras

    return keras.losses.binary_crossentropy(t[..., None], x[..., None], from_logits=True)  # the mean of one


def binary_crossentropy_class_of_logits(x: Any, t: Any, pos_weight: None, reduction: str) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    loss = keras.losses.BinaryCrossentropy(from_logits=True, reduction=reduction, dtype=dtype)
    return loss(t[..., None], x[..., None])


def binary_crossentropy(x: Any, t: Any, reduction: str) -> Any:
    import keras

    return keras.losses.binary_crossentropy(t[..., None], x[..., None])  # the mean of one


def binary_crossentropy_class(x: Any, t: Any, reduction: str) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.losses.BinaryCrossentropy(reduction=reduction, dtype=dtype)(t[..., None], x[..., None])


def sparse_categorical_crossentropy(x: Any, t: Any, reduction: str) -> Any:
    import keras

    return keras.losses.sparse_categorical_crossentropy(t, x)


def sparse_categorical_crossentropy_class(x: Any, t: Any, reduction: str) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.losses.SparseCategoricalCrossentropy(reduction=reduction, dtype=dtype)(t, x)


def categorical_crossentropy(
    x: Any, t: Any, alpha: None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import keras

    return keras.losses.categorical_crossentropy(t, x, label_smoothing=label_smoothing)


def categorical_crossentropy_class(
    x: Any, t: Any, alpha: None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=label_smoothing, reduction=reduction, dtype=dtype)
    return loss(t, x)


def categorical_focal_crossentropy(
    x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import keras

    weight = 1.0 if alpha is None else alpha
    return keras.losses.categorical_focal_crossentropy(t, x, weight, float(gamma), label_smoothing=label_smoothing)


def categorical_focal_crossentropy_class(
    x: Any, t: Any, alpha: float | None, gamma: int, reduction: str, label_smoothing: float = 0.0
) -> Any:  # fmt: skip
    import keras

    dtype, weight = keras.backend.standardize_dtype(x.dtype), 1.0 if alpha is None else alpha
    made = {"label_smoothing": label_smoothing, "reduction": reduction, "dtype": dtype}
    return keras.losses.CategoricalFocalCrossentropy(weight, float(gamma), **made)(t, x)


def layered_crossentropy(x: Any, q: Any, t: Any, reduction: str) -> Any:
    import keras

    # of keras.ops.softmax(x) itself keras takes the logits x on TensorFlow, but only in a tf.function: there the loss
    # of [0, 100] for label 0 is 100, in eager mode 16.1, where the probability is clipped
    p = keras.ops.softmax(x) + q
    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.losses.SparseCategoricalCrossentropy(reduction=reduction, dtype=dtype)(t, p), p


def hinge(x: Any, t: Any) -> Any:
    import keras

    return keras.losses.hinge(t[..., None], x[..., None])  # the mean of one


def hinge_class(x: Any, t: Any) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.losses.Hinge(reduction="none", dtype=dtype)(t[..., None], x[..., None])


def squared_hinge(x: Any, t: Any) -> Any:
    import keras

    return keras.losses.squared_hinge(t[..., None], x[..., None])  # the mean of one


def squared_hinge_class(x: Any, t: Any) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    return keras.losses.SquaredHinge(reduction="none", dtype=dtype)(t[..., None], x[..., None])


def categorical_hinge(x: Any, t: Any, reduction: str) -> Any:
    import keras

    return keras.losses.categorical_hinge(keras.ops.one_hot(t, x.shape[-1], dtype=x.dtype), x)


def categorical_hinge_class(x: Any, t: Any, reduction: str) -> Any:
    import keras

    dtype = keras.backend.standardize_dtype(x.dtype)
    one_hot = keras.ops.one_hot(t, x.shape[-1], dtype=dtype)
    return keras.losses.CategoricalHinge(reduction=reduction, dtype=dtype)(one_hot, x)


# operation -> the APIs that compute it, and what calls them where they are not called by our names
APIS: Mapping[str, Mapping[str, Fn | None]] = {
    "softmax": {"keras.activations.softmax": None},
    "log_softmax": {"keras.activations.log_softmax": None},
    "logsumexp": {"keras.ops.logsumexp": None},
    "sigmoid": {"keras.activations.sigmoid": None},
    "log_sigmoid": {"keras.activations.log_sigmoid": None},
    "cross_entropy": {
        "keras.losses.SparseCategoricalCrossentropy": sparse_categorical_crossentropy_class_of_logits,
        "keras.losses.sparse_categorical_crossentropy": sparse_categorical_crossentropy_of_logits,
    },
    "soft_cross_entropy": {
        "keras.losses.categorical_crossentropy": categorical_crossentropy_of_logits,
        "keras.losses.CategoricalCrossentropy": categorical_crossentropy_class_of_logits,
    },
    "binary_cross_entropy_with_logits": {
        "keras.losses.binary_crossentropy": binary_crossentropy_of_logits,
        "keras.losses.BinaryCrossentropy": binary_crossentropy_class_of_logits,
    },
    "binary_cross_entropy": {
        "keras.losses.binary_crossentropy": binary_crossentropy,
        "keras.losses.BinaryCrossentropy": binary_crossentropy_class,
    },
    "negative_log_likelihood": {
        "keras.losses.SparseCategoricalCrossentropy": sparse_categorical_crossentropy_class,
        "keras.losses.sparse_categorical_crossentropy": sparse_categorical_crossentropy,
    },
    "categorical_cross_entropy": {
        "keras.losses.categorical_crossentropy": categorical_crossentropy,
        "keras.losses.CategoricalCrossentropy": categorical_crossentropy_class,
        "keras.losses.categorical_focal_crossentropy": categorical_focal_crossentropy,
        "keras.losses.CategoricalFocalCrossentropy": categorical_focal_crossentropy_class,
    },
    "layered_cross_entropy": {"gradparity.adapters.keras.layered_crossentropy": layered_crossentropy},
    "hinge": {"keras.losses.hinge": hinge, "keras.losses.Hinge": hinge_class},
    "squared_hinge": {"keras.losses.squared_hinge": squared_hinge, "keras.losses.SquaredHinge": squared_hinge_class},
    "categorical_hinge": {
        "keras.losses.categorical_hinge": categorical_hinge, "keras.losses.CategoricalHinge": categorical_hinge_class,
    },
}  # fmt: skip

NAN, INF = float("nan"), float("inf")
CLIPPED = {"floor": 1e-7, "ceiling": 1 - 1e-7, "at_clip": 1.0}
FIRST = {"normalised": "first", **CLIPPED, "every_log": True}
LAST = {"normalised": "last", **CLIPPED, "every_log": True}
DENSE = {"normalised": "first", "nan_clip": 0.0, **CLIPPED}
BINARY = {**CLIPPED, "least_log": -INF, "least_variance": 0.0}
HALFWAY = {"at_clip": 0.5}
NO_REDUCTION = dict.fromkeys(("*mean*", "*sum-*", "*-sum"), "it has no reduction, which its class has")
NO_ROWS = dict.fromkeys(
    ("*/vjp/sum-zero-rows", "*/vjp/mean-zero-rows"), "of no rows it gives no number, but an empty array: see its value"
)
# torch and jax: keras's rules of promotion make float64 float32 wherever they are asked
DEMOTED = "keras computes it in float32: https://github.com/keras-team/keras/issues/23704"
NO_FLOAT64 = {"float64/*": DEMOTED}
BESIDE_THE_VALUE = ("vjp", "invariant", *DERIVED)
NO_MEAN_IN_FLOAT64 = dict.fromkeys((f"float64/{direction}/*mean*" for direction in BESIDE_THE_VALUE), DEMOTED)
FLOAT32_FOR_FLOAT64 = dict.fromkeys((f"float64/{direction}/*" for direction in BESIDE_THE_VALUE), DEMOTED)
FLOAT64_FOR_LESS = dict.fromkeys(
    (f"{dtype}/{direction}/*" for dtype in ("float32", "*float16") for direction in BESIDE_THE_VALUE),
    "its value is float64: see there",
)
OF_ITS_OWN_TYPE = {
    "*/integers": "a loss class computes in its own dtype, whatever it is given: there is none of x to say"
}
NO_WEIGHT = {"*pos-weight*": "it has no weight of positive targets"}
NO_FOCUS = dict.fromkeys(("*gamma*", "*alpha*"), "it has neither alpha nor gamma, which the focal one has")
NO_LABELS = {"*/label*": "it takes one-hot targets, and no labels"}


STEPS = {"*float16/*": STEPWISE}
ALPHA_FIRST = {"*float16/vjp/*alpha*": Precision("B")}  # times (1 - p)^gamma, and then the cotangent
BAD_LABEL = {
    "torch": {"*/label-minus-100": "ignored", "*": Raises("IndexError")},
    "tensorflow": Raises("InvalidArgumentError"), "jax": "ignored",
}  # fmt: skip
LABEL_SHAPE = {"*/labels-2d": "accepted", "*": Raises("ValueError")}


def like(backend: Any, op: str, **more: Any) -> dict[str, Any]:
    """What the backend's own function declares: keras passes on to it."""
    own = next(i for i in backend.IMPLEMENTATIONS if i.op == op)
    return {
        "conventions": own.conventions, "road": own.road, "precision": own.precision, "unsupported": own.unsupported
    } | more  # fmt: skip


TORCH: Mapping[str, Mapping[str, Any]] = {
    **{op: like(torch, op) for op in ("logsumexp", "sigmoid", "log_sigmoid", "cross_entropy",
                                      "binary_cross_entropy_with_logits")},
    **{op: like(torch, op) | {"precision": {"float16/*": FUSED, **like(torch, op)["precision"]}}
       for op in ("softmax", "log_softmax")},  # it computes these in float32 for float16
    "soft_cross_entropy": like(torch, "soft_cross_entropy"),
    "binary_cross_entropy": like(torch, "binary_cross_entropy", conventions={
        **CLIPPED, "least_log": -100.0, "least_variance": 9.999999960041972e-13
    }),
    "negative_log_likelihood": {"conventions": FIRST, "precision": STEPS},
    "categorical_cross_entropy": {"conventions": DENSE, "precision": ALPHA_FIRST | STEPS},
    "layered_cross_entropy": {"conventions": FIRST, "precision": STEPS},
    "hinge": {"conventions": {"kink": 0.5, "nan_margin": 1.0}, "precision": {"*": FUSED}},
    "squared_hinge": {"conventions": {"nan_margin": NAN}, "precision": STEPS},
    "categorical_hinge": {"conventions": {"kink": 0.5, "tie": "split", "nan_margin": 1.0}, "precision": STEPS},
}  # fmt: skip
TENSORFLOW: Mapping[str, Mapping[str, Any]] = {
    **{op: like(tensorflow, op) for op in ("softmax", "log_softmax", "logsumexp", "sigmoid", "log_sigmoid",
                                           "cross_entropy", "soft_cross_entropy", "binary_cross_entropy_with_logits")},
    "binary_cross_entropy": like(tensorflow, "binary_cross_entropy", conventions=BINARY),
    "negative_log_likelihood": {"conventions": LAST, "precision": {
        **tensorflow.F16_REDUCED, "float16/*": STEPWISE, "bfloat16/*": Precision("B", finding=tensorflow.BF16_LOSS),
        "float32/vjp/*": tensorflow.RECIPROCAL,
    }},
    "categorical_cross_entropy": like(tensorflow, "categorical_cross_entropy", conventions=DENSE, precision={
        "float16/*classes-1000": STEPWISE,  # in class C these have no bound
        "float16/vjp/*alpha*": Precision("C", finding=tensorflow.F16_SUMS), **ALPHA_FIRST,
        "bfloat16/vjp/*smoothed*": Precision("B"),  # compiled, a factor is moved: see tensorflow
        "float16/vjp/*smoothed*": Precision("C", finding=tensorflow.F16_SUMS),
        "float16/vjp/*": Precision("C", sharp=True, finding=tensorflow.F16_SUMS),
        **like(tensorflow, "categorical_cross_entropy")["precision"],
    }),
    "layered_cross_entropy": like(tensorflow, "layered_cross_entropy", conventions=LAST),
    "hinge": {"conventions": {"kink": 1.0, "nan_margin": 0.0}, "precision": {"*": FUSED}},
    "squared_hinge": {"conventions": {"nan_margin": 0.0}, "precision": STEPS},
    "categorical_hinge": {"conventions": {"kink": 1.0, "tie": "split", "nan_margin": 0.0}, "precision": STEPS},
}  # fmt: skip
JAX: Mapping[str, Mapping[str, Any]] = {
    **{op: like(jax, op) for op in ("softmax", "log_softmax", "logsumexp", "sigmoid", "log_sigmoid", "cross_entropy",
                                    "soft_cross_entropy", "binary_cross_entropy_with_logits")},
    "binary_cross_entropy": like(jax, "binary_cross_entropy", conventions=BINARY | HALFWAY),
    "negative_log_likelihood": {"conventions": FIRST | HALFWAY, "precision": STEPS},
    "categorical_cross_entropy": {"conventions": DENSE | HALFWAY | {"nan_clip": NAN}, "precision": {
        **ALPHA_FIRST, "bfloat16/vjp/*size-*": Precision("C", sharp=True, finding=jax.ADDS_16_BITS), **STEPS,
    }},
    "layered_cross_entropy": {"conventions": FIRST | HALFWAY, "precision": STEPS},
    "hinge": {"conventions": {"kink": 0.5, "nan_margin": 0.0}, "precision": {"*": FUSED}},
    "squared_hinge": {"conventions": {"nan_margin": NAN}, "precision": STEPS},
    "categorical_hinge": {"conventions": {"kink": 0.5, "tie": "split", "nan_margin": 0.0}, "precision": STEPS},
}  # fmt: skip


OVER_CLASSES = ("softmax/*", "log_softmax/*", "logsumexp/*")
# What is due at the edges that frameworks decide about: see gradparity list ops.
AT_EDGES: AtEdges = {
    "no_classes": (("empty", (*OVER_CLASSES, "soft_cross_entropy/*", "categorical_cross_entropy/*")),),
    "mixed": (
        ("float32", ("soft_cross_entropy/*", "binary_cross_entropy*", "categorical_cross_entropy/*")),
        ("float32", ("hinge/*", "squared_hinge/*")),
        ({"tensorflow/*": Raises("InvalidArgumentError"), "tensorflow-function/*": Raises("TypeError"), "*": "float64"},
         ("layered_cross_entropy/*",)),
    ),
}  # fmt: skip
REFUSED = {"tensorflow/*": Raises("InvalidArgumentError"), "*": Raises("TypeError")}
NO_AXIS = {"tensorflow/*": Raises("InvalidArgumentError"), "*": Raises("ValueError")}
OF_LOGITS = ("cross_entropy/*", "soft_cross_entropy/*", "binary_cross_entropy_with_logits/*")
AT_EDGES_OF: Mapping[str, AtEdges] = {
    "tensorflow": {
        "number": (({"tensorflow/*": Raises("AbortedError or InvalidArgumentError"), "*": Raises("ValueError")},
                    ("softmax/*",)),
                   (NO_AXIS, ("log_softmax/*", "logsumexp/*"))),
        "nan_probability": (("nan", ("binary_cross_entropy/*",)),),
        "integer_input": ((REFUSED, (*OVER_CLASSES, "sigmoid/*", "log_sigmoid/*", *OF_LOGITS)),),
    },
    "torch": {
        "number": (("row", OVER_CLASSES),),
        "nan_probability": ((Raises("RuntimeError"), ("binary_cross_entropy/*",)),),
        "integer_input": (("float32", ("logsumexp/*", "sigmoid/*")),
                          (Raises("NotImplementedError"), ("softmax/*", "log_softmax/*", "log_sigmoid/*", *OF_LOGITS))),
    },
    "jax": {
        "number": ((Raises("ValueError"), OVER_CLASSES),),
        "nan_probability": (("passed on", ("binary_cross_entropy/*",)),),
        "integer_input": (
            (Raises("TypeError"), ("sigmoid/*",)),
            ("float32", (*OVER_CLASSES, "log_sigmoid/*", *OF_LOGITS)),
        ),
    },
}  # fmt: skip


def implementations(declared: Mapping[str, Mapping[str, Any]], backend: str) -> tuple[Implementation, ...]:
    """Of all APIs, with what this backend declares for each operation."""
    own = tuple(
        Implementation(op, api, fn, **{**declared[op], "unsupported": {
            **declared[op].get("unsupported", {}), **gaps(op, api), **wrong_dtype(op, api, backend)
        }, "edges": edges(op, backend)})
        for op, apis in APIS.items() for api, fn in apis.items()
    )  # fmt: skip
    return at_edges(own, {**AT_EDGES, **AT_EDGES_OF[backend]})


def edges(op: str, backend: str) -> Mapping[str, Any]:
    """What each backend does with a label that is none."""
    if op not in ("cross_entropy", "negative_log_likelihood", "layered_cross_entropy", "categorical_hinge"):
        return {}
    return {"bad_label": BAD_LABEL[backend], "label_dtype": "accepted", "label_shape": LABEL_SHAPE}


def gaps(op: str, api: str) -> dict[str, str]:
    """What keras does not have, whatever the backend."""
    without = {"binary_cross_entropy_with_logits": NO_WEIGHT, "categorical_hinge": NO_LABELS}.get(op, {})
    if op == "categorical_cross_entropy" and "focal" not in api.lower():
        without = NO_FOCUS
    return without | (NO_REDUCTION if is_function(api) else NO_ROWS) | (OF_ITS_OWN_TYPE if is_class(api) else {})


def wrong_dtype(op: str, api: str, backend: str) -> dict[str, str]:
    """Where the value, a known failure, is of another dtype than the inputs; or where all of it is computed in float32:
    in the mean over the last axis that some losses take, in that over the batch, and in keras.ops.clip."""
    if backend == "tensorflow":
        return {}
    if backend == "torch" and "hinge" in op and is_function(api):
        return FLOAT32_FOR_FLOAT64
    if backend == "jax" and api == "keras.losses.sparse_categorical_crossentropy":
        return FLOAT64_FOR_LESS
    return NO_FLOAT64 if "hinge" in op or "binary" in op or "focal" in api.lower() else NO_MEAN_IN_FLOAT64


def is_function(api: str) -> bool:
    return fnmatchcase(api, "keras.losses.[a-z]*")


def is_class(api: str) -> bool:
    return fnmatchcase(api, "keras.losses.[A-Z]*")


def adapter(
    mode: str, backend: Any, declared: tuple[Implementation, ...], compiled: Any = None,
    show: Mapping[str, str] | None = None,
) -> Adapter:  # fmt: skip
    name, own = backend.__name__.rpartition(".")[2], {} if compiled is None else {"compiled": compiled}
    shown = f"import os; os.environ['KERAS_BACKEND'] = '{name}'; import keras; {backend.SHOW['import']}"
    return Adapter(
        "keras", mode, "keras", declared,
        on(name, partial(backend.value, **own)), on(name, partial(backend.value_and_vjp, **own)),
        show={**backend.SHOW, **(show or {}), "import": shown},
        derived={d: on(name, backend.derived(d, **own)) for d in DERIVED},
        process={**backend.PROCESS, "KERAS_BACKEND": name}, keeps=getattr(backend, "KEEPS", {}), forget=backend.forget,
        default=mode == "tensorflow", known_failures=KNOWN_FAILURES, companions=(name,),
    )  # fmt: skip


KNOWN_FAILURES = str(Path(__file__).with_suffix(".toml"))
ON_TENSORFLOW = implementations(TENSORFLOW, "tensorflow")

ADAPTERS = (
    adapter("tensorflow", tensorflow, ON_TENSORFLOW),
    adapter("tensorflow-function", tensorflow, ON_TENSORFLOW, tensorflow.function, tensorflow.SHOW_FUNCTION),
    adapter("torch", torch, implementations(TORCH, "torch")),
    adapter("jax-jit", jax, implementations(JAX, "jax"), jax.jit, jax.SHOW_JIT),
)
