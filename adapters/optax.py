"""Optax's losses, which are JAX: its verbs are those of gradparity.adapters.jax."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from gradparity.adapter import Adapter, AtEdges, Implementation, at_edges
from gradparity.adapters.jax import (
    ADDS_16_BITS,
    EDGES,
    KEEPS,
    PROCESS,
    SHOW,
    SHOW_JIT,
    derived,
    forget,
    jit,
    value,
    value_and_vjp,
)
from gradparity.arithmetic import FUSED, STEPWISE, Precision
from gradparity.misrounded import recorded
from gradparity.op import DERIVED, Raises


def cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import jax.numpy as jnp
    import optax

    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](optax.softmax_cross_entropy_with_integer_labels(x, t))


def spatial_cross_entropy(x: Any, t: Any, reduction: str) -> Any:
    import jax.numpy as jnp
    import optax

    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](optax.softmax_cross_entropy_with_integer_labels(x, t, axis=1))


def soft_cross_entropy(x: Any, t: Any, label_smoothing: float, reduction: str) -> Any:
    import jax.numpy as jnp
    import optax

    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](optax.softmax_cross_entropy(x, optax.smooth_labels(t, label_smoothing)))


def safe_soft_cross_entropy(x: Any, t: Any, label_smoothing: float, reduction: str) -> Any:
    import jax.numpy as jnp
    import optax

    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](optax.safe_softmax_cross_entropy(x, optax.smooth_labels(t, label_smoothing)))


def sigmoid_binary_cross_entropy(x: Any, t: Any, pos_weight: None, reduction: str) -> Any:
    import jax.numpy as jnp
    import optax

    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](optax.sigmoid_binary_cross_entropy(x, t))


def sigmoid_focal_loss(x: Any, t: Any, alpha: float | None, gamma: int, reduction: str) -> Any:
    import jax.numpy as jnp
    import optax

    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](optax.losses.sigmoid_focal_loss(x, t, alpha=alpha, gamma=gamma))


def multiclass_hinge_loss(x: Any, t: Any, margin: float, reduction: str) -> Any:
    import jax.numpy as jnp
    import optax

    reductions: Any = {"none": jnp.asarray, "sum": jnp.sum, "mean": jnp.mean}
    return reductions[reduction](optax.losses.multiclass_hinge_loss(x, t))


NAN = float("nan")
OF_LOG_SOFTMAX = {
    "*float16/value/*": STEPWISE, "*float16/vjp/*size-*": Precision("C", finding=ADDS_16_BITS),
    "*float16/vjp/*classes-*000*": Precision("C", finding=ADDS_16_BITS),
    "*float16/vjp/*balanced": Precision("C", finding=ADDS_16_BITS),
    "*float16/vjp/*": Precision("B"),
}  # fmt: skip

NO_LABEL = "jax.nn.one_hot of a label out of range is 0 everywhere: the loss is that of a row without a label"
IN_FLOAT64 = "its value is float64: see there"
FLOAT64_FOR_LESS = {
    f"{dtype}/{direction}/*": IN_FLOAT64
    for dtype in ("float32", "*float16")
    for direction in ("vjp", "invariant", *DERIVED)
}

# What is due at the edges that frameworks decide about: see gradparity list ops.
AT_EDGES: AtEdges = {
    "no_classes": ((Raises("ZeroDivisionError"), ("soft_cross_entropy/*",)),),
    "integer_input": (
        (
            Raises("TypeError"),
            (
                "cross_entropy/*",
                "spatial_cross_entropy/*",
                "soft_cross_entropy/*",
                "binary_cross_entropy_with_logits/*",
                "focal_loss/*",
            ),
        ),
    ),
    "mixed": (
        ("float64", ("soft_cross_entropy/*", "hinge/*")),
        ("float32", ("binary_cross_entropy_with_logits/*", "focal_loss/*")),
    ),
}

IMPLEMENTATIONS: tuple[Implementation, ...] = (
    Implementation(
        "cross_entropy", "optax.softmax_cross_entropy_with_integer_labels", cross_entropy, road="unshifted",
        precision={"*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("B")},
        edges=EDGES,
    ),
    Implementation(
        "spatial_cross_entropy", "optax.softmax_cross_entropy_with_integer_labels", spatial_cross_entropy,
        road="unshifted", precision={"*float16/value/*": STEPWISE, "*float16/vjp/*": Precision("B")},
    ),
    Implementation(
        "soft_cross_entropy", "optax.softmax_cross_entropy", soft_cross_entropy, road="quotient",
        conventions={"masked": NAN}, precision=OF_LOG_SOFTMAX,
    ),
    Implementation(
        "soft_cross_entropy", "optax.safe_softmax_cross_entropy", safe_soft_cross_entropy, road="quotient",
        conventions={"masked": 0.0}, precision=OF_LOG_SOFTMAX,
    ),
    Implementation(
        "crammer_singer_hinge", "optax.losses.multiclass_hinge_loss", multiclass_hinge_loss,
        road="one-added-to-all", conventions={"kink": "tie", "tie": "split", "nan_margin": NAN},
        unsupported={
            "*margin-0.5*": "its margin is 1", **FLOAT64_FOR_LESS, "*float16/value/rows-1000": IN_FLOAT64,
            **dict.fromkeys(("*/label-minus-*", "*/label-c", "*/label-beyond"), NO_LABEL),
        },
        edges={
            "bad_label": "nan", "label_dtype": "accepted",
            "label_shape": {"*/labels-2d": "accepted", "*": Raises("TypeError")},
        },
    ),
    Implementation(
        "hinge", "optax.hinge_loss", renames={"x": "predictor_outputs", "t": "targets"},
        conventions={"kink": 0.5, "nan_margin": 0.0}, precision={"*": FUSED},
    ),
    Implementation(
        "binary_cross_entropy_with_logits", "optax.sigmoid_binary_cross_entropy", sigmoid_binary_cross_entropy,
        road="two-terms", precision={"*float16/*": Precision("B")},
        unsupported={"*pos-weight*": "it has no weight of positive targets"},
    ),
    Implementation(
        "focal_loss", "optax.losses.sigmoid_focal_loss", sigmoid_focal_loss, road="in-log-space",
        precision={"*float16/*": STEPWISE},
    ),
)  # fmt: skip
IMPLEMENTATIONS = at_edges(IMPLEMENTATIONS, AT_EDGES)

KNOWN_FAILURES = str(Path(__file__).with_suffix(".toml"))
BASELINE = recorded(__file__)
IMPORTED = SHOW | {"import": f"import optax; {SHOW['import']}"}

ADAPTERS = (
    Adapter(
        "optax", "eager", "optax", IMPLEMENTATIONS, value, value_and_vjp,
        show=IMPORTED, derived={d: derived(d) for d in DERIVED}, process=PROCESS, keeps=KEEPS, forget=forget,
        default=True, known_failures=KNOWN_FAILURES, baseline=BASELINE, companions=("jax", "jaxlib"),
    ),
    Adapter(
        "optax", "jit", "optax", IMPLEMENTATIONS, partial(value, compiled=jit), partial(value_and_vjp, compiled=jit),
        show=IMPORTED | SHOW_JIT, derived={d: derived(d, jit) for d in DERIVED}, process=PROCESS, keeps=KEEPS,
        forget=forget, known_failures=KNOWN_FAILURES, baseline=BASELINE, companions=("jax", "jaxlib"),
    ),
)  # fmt: skip
