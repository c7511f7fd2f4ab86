"""The reference is right: its gradients against derivatives that need no algebra, its values against closed forms,
the ragged centroid loss against a double loop written from its definition, all of them against printed numbers.

Nothing here has a tolerance of its own. Two computations of one quantity may differ by what the error arithmetic
allows each of them in float64, or by a stated part of it where they are carried out in long double.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.arithmetic import Arithmetic, Tracked
from gradparity.cases import COTANGENTS, Draw
from gradparity.op import LONGER, Array, Arrays, Case, Op, Road, is_float, outputs, wide
from gradparity.reference import OPS
from gradparity.reference.categorical_hinge import margins as categorical_margins
from gradparity.reference.categorical_hinge import with_a_zero
from gradparity.reference.crammer_singer_hinge import worst_margin, wrong_scores
from gradparity.reference.multiclass_hinge import margins
from gradparity.reference.multilabel_margin import margins as multilabel_margins
from gradparity.reference.multilabel_margin import pairs
from gradparity.reference.ragged_centroid import ragged
from gradparity.truth import tracked

A = Arithmetic("float64")
# What a long double computation may miss, in units of the bound of the same computation in float64: its unit roundoff
# is 2^11 times smaller, which leaves a factor of 32 for another order of operations.
PART = 2.0**-6 if LONGER else 4.0

each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)


def drawn(op: Op, case: Case) -> Arrays:
    return case.arrays(Draw(f"{op.name}/{case.name}", "float64"))


def cotangent(op: Op, case: Case, shape: tuple[int, ...]) -> Array:
    return COTANGENTS["normal"](Draw(f"{op.name}/{case.name}", "float64"), shape)


def as_kind(arrays: Arrays, make: Callable[[Array], Any]) -> Arrays:
    """The float arrays, made into another kind of number; labels as they are."""
    return {k: make(v) if is_float(v) else v for k, v in arrays.items()}


def value(op: Op, arrays: Arrays, params: Mapping[str, Any]) -> Any:
    """The output that is differentiated."""
    with np.errstate(all="ignore"):
        return outputs(op.forward(**arrays, **params))[0]


def tracked_value(op: Op, arrays: Arrays, params: Mapping[str, Any]) -> Tracked:
    return A.store(value(op, as_kind(arrays, A), params))


def tracked_vjp(op: Op, g: Array, arrays: Arrays, params: Mapping[str, Any]) -> dict[str, Tracked]:
    y = tracked_value(op, arrays, params)
    with np.errstate(all="ignore"):
        dx = op.vjp(A(g), y, **as_kind(arrays, A), **params)
    return {k: A.store(dx[k]) for k in op.wrt}


def assert_within(got: Any, want: Tracked, part: float = 1.0) -> None:
    gap, allowed = np.abs(np.asarray(got, want.v.dtype) - want.v), want.full.astype(np.longdouble) * part
    assert (gap <= allowed).all(), f"{np.max(gap[gap > 0] / allowed[gap > 0]):.3g} times what is allowed"


# --- where there is a derivative to compare with

MOST = 200  # elements


def at_kink(op: Op, case: Case, arrays: Arrays) -> bool:
    """Hinges have a kink, and a norm at 0: squares, of a hinge or of the excess over delta, are continuously
    differentiable."""
    if op.name == "hinge":
        return bool((arrays["t"] * arrays["x"] == 1).any())
    if op.name == "margin_ranking":
        return bool((arrays["t"] * (arrays["x"] - arrays["other"]) == case.params["margin"]).any())
    if op.name == "hinge_embedding":
        return bool((arrays["x"][arrays["t"] < 0] == case.params["margin"]).any())
    if op.name == "multiclass_hinge" and case.params["p"] == 1:
        return bool((margins(arrays["x"], arrays["t"], case.params["margin"]) == 0).any())
    if op.name == "euclidean_norm":
        return bool((arrays["x"] == 0).all(-1).any())
    if op.name == "pairwise_distance":
        return bool((arrays["x"] - arrays["other"] + case.params["eps"] == 0).all(-1).any())
    if op.name == "crammer_singer_hinge":
        x, t = arrays["x"], arrays["t"]
        return at_a_tie(wrong_scores(x, t), worst_margin(x, t, np.float64(case.params["margin"])))
    if op.name == "categorical_hinge":
        return at_a_tie(with_a_zero(**arrays), categorical_margins(**arrays))
    if op.name == "multilabel_margin":
        return bool((multilabel_margins(arrays["x"])[pairs(arrays["t"], arrays["x"].shape[1])] == 0).any())
    return False


def at_a_tie(wrong: Array, margin: Array) -> bool:
    """Two of these scores of a row are worst, or a margin is 0."""
    tied = (wrong == wrong.max(axis=1, keepdims=True, initial=-np.inf)).sum(axis=1) > 1
    return bool(tied.any() or (margin == 0).any())


def why_not(op: Op, case: Case) -> str:
    """Why a case has no derivative to compare with: one of these reasons, or none."""
    arrays = drawn(op, case)
    x = arrays["x"]
    return (
        ("large" if x.size > MOST else "")
        or ("empty" if not x.size else "")
        or ("non-finite" if not np.isfinite(x).all() or not finite(op, arrays, case.params) else "")
        or ("kink" if at_kink(op, case, arrays) else "")
    )


def finite(op: Op, arrays: Arrays, params: Mapping[str, Any]) -> bool:
    """Value and gradient: that of a logarithm is infinite for a subnormal number."""
    y = value(op, arrays, params)
    with np.errstate(all="ignore"):
        dx = op.vjp(np.ones_like(y), y, **arrays, **params)
    return all(np.isfinite(v).all() for v in (y, *(dx[k] for k in op.wrt)))


def smooth_cases(op: Op) -> list[Case]:
    return [case for case in op.cases if not why_not(op, case)]


SMOOTH = [pytest.param(op, case, id=f"{op.name}/{case.name}") for op in OPS.values() for case in smooth_cases(op)]

# At least so many cases of each op: a rule that excluded everything would show here.
COVERED = {
    "softmax": 30, "log_softmax": 30, "logsumexp": 30, "cross_entropy": 39, "soft_cross_entropy": 62,
    "weighted_cross_entropy": 40, "sigmoid": 17, "log_sigmoid": 17, "hinge": 10, "squared_hinge": 11,
    "ragged_centroid": 20, "binary_cross_entropy_with_logits": 40, "negative_log_likelihood": 24,
    "layered_cross_entropy": 22, "binary_cross_entropy": 25,
    "softmax_regression": 18,
    "multiclass_hinge": 24, "crammer_singer_hinge": 14, "hinge_embedding": 17,
    "margin_ranking": 16, "euclidean_norm": 15, "pairwise_distance": 13, "segment_sum": 13, "segment_mean": 12,
    "pca": 20,
    "spatial_cross_entropy": 12,
    "focal_loss": 46, "one_vs_rest": 31, "logistic_regression": 20, "categorical_hinge": 26, "multilabel_margin": 23,
    "categorical_cross_entropy": 53,
}  # fmt: skip
LEFT_OUT = {
    "softmax": {"large", "empty", "non-finite"},
    "log_softmax": {"large", "empty", "non-finite"},
    "logsumexp": {"large", "empty", "non-finite"},
    "cross_entropy": {"large", "empty", "non-finite"},
    "spatial_cross_entropy": {"large", "empty", "non-finite"},
    "soft_cross_entropy": {"large", "empty", "non-finite"},
    "weighted_cross_entropy": {"large", "empty", "non-finite"},
    "sigmoid": {"large", "empty", "non-finite"},
    "log_sigmoid": {"large", "empty", "non-finite"},
    "hinge": {"large", "empty", "non-finite", "kink"},
    "squared_hinge": {"large", "empty", "non-finite"},
    "ragged_centroid": {"large", "empty"},
    "binary_cross_entropy_with_logits": {"large", "empty", "non-finite"},
    "negative_log_likelihood": {"large", "empty", "non-finite"},
    "layered_cross_entropy": {"large", "empty", "non-finite"},
    "binary_cross_entropy": {"large", "empty", "non-finite"},
    "categorical_cross_entropy": {"large", "empty", "non-finite"},
    "softmax_regression": {"large", "empty", "non-finite"},
    "multiclass_hinge": {"large", "empty", "non-finite", "kink"},
    "crammer_singer_hinge": {"large", "empty", "non-finite", "kink"},
    "hinge_embedding": {"large", "empty", "non-finite", "kink"},
    "margin_ranking": {"large", "empty", "non-finite", "kink"},
    "euclidean_norm": {"large", "empty", "non-finite", "kink"},
    "pairwise_distance": {"large", "empty", "non-finite", "kink"},
    "segment_sum": {"large", "empty", "non-finite"},
    "segment_mean": {"large", "empty", "non-finite"},
    "pca": set(),
    "focal_loss": {"large", "empty", "non-finite"},
    "one_vs_rest": {"large", "empty", "non-finite"},
    "logistic_regression": {"large", "empty", "non-finite"},
    "categorical_hinge": {"large", "empty", "non-finite", "kink"},
    "multilabel_margin": {"large", "empty", "non-finite", "kink"},
}


@each_op
def test_most_cases_have_their_gradient_checked(op: Op) -> None:
    assert len(smooth_cases(op)) >= COVERED[op.name]
    assert {why_not(op, case) for case in op.cases} - {""} == LEFT_OUT[op.name]


# --- the complex step

STEP = 2.0**-150  # a power of two: the division by it is exact; its square, the truncation error, is nothing


def complex_step(op: Op, g: Array, arrays: Arrays, params: Mapping[str, Any], name: str, kind: Any) -> Array:
    """sum_k g_k dy_k / dx_i = Im(sum_k g_k y_k(x + i h e_i)) / h, one coordinate at a time: no difference is taken,
    so nothing cancels. The other arguments are real numbers of the same precision."""
    x = arrays[name]
    others = as_kind(arrays, lambda v: v.astype(kind).real)
    d = np.zeros(x.shape, np.longdouble)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np, "log1p", log1p)
        for i in np.ndindex(x.shape):
            moved = x.astype(kind)
            moved[i] += 1j * STEP
            d[i] = np.sum(g * value(op, {**others, name: moved}, params).imag) / STEP
    return d


def log1p(x: Array, plain: Callable[[Array], Array] = np.log1p) -> Array:
    """Of a complex number NumPy takes log(|1 + x|), to which a small real part is lost, and with it the derivative of
    a product. To first order in the imaginary part, whose square is nothing: log1p(a) + i b / (1 + a)."""
    return plain(x.real) + 1j * (x.imag / (1 + x.real)) if np.iscomplexobj(x) else plain(x)


# In long double the complex step is as good as exact and the vjp, in long double too, must agree with it far below the
# bound. In complex128 it makes roundings of its own, of forward-mode differentiation through every step of `forward`,
# where the vjp starts from the stored output: twice as long a road there and back, hence a few bounds.
KINDS = {"long": (np.clongdouble, PART), "complex128": (np.complex128, 4.0)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("op", "case"), SMOOTH)
def test_the_gradient_is_the_complex_step_of_the_value(op: Op, case: Case, kind: str) -> None:
    number, part = KINDS[kind]
    arrays = drawn(op, case)
    g = cotangent(op, case, value(op, arrays, case.params).shape)
    lost = float(np.finfo(number).tiny) / STEP  # below this the imaginary part underflows
    for name, want in tracked_vjp(op, g, arrays, case.params).items():
        got = complex_step(op, g, arrays, case.params, name, number)
        reachable = Tracked(want.v, want.full + np.abs(g).sum() * lost, A)
        assert_within(got, reachable, part)


@pytest.mark.parametrize(("op", "case"), SMOOTH)
def test_no_bound_of_a_gradient_is_so_wide_that_zero_passes_everywhere(op: Op, case: Case) -> None:
    """What the comparisons with this bound are worth: where the gradient is not 0, 0 is outside of the bound for at
    least one element. Subnormal inputs may be read as zero, their margins are 1 all the same."""
    arrays = drawn(op, case)
    g = cotangent(op, case, value(op, arrays, case.params).shape)
    for want in tracked_vjp(op, g, arrays, case.params).values():
        gradient = np.abs(want.v)
        assert (gradient > want.full).any() or not (gradient > np.finfo(float).eps).any()


# --- central differences

DIFFERENCE = 2.0**-17  # about the cube root of float64's unit roundoff, where both errors below are equally large
THIRD = 1.0  # no third derivative of these functions along a coordinate is larger; of the quadratic ones it is 0
# but those: that of -t log p is -2 t / p^3, at probabilities near 1, and of 1/4 at least
CUBED = {
    "negative_log_likelihood": 2.001, "binary_cross_entropy": 2.001 * 4**3,
    "categorical_cross_entropy": 2.001 * 0.25 * 4**3,
}  # fmt: skip
DIFFERENCED = {
    "softmax": ("scale-1", "scale-10", "equal", "near-ties", "axis-0", "axis-1-of-3"),
    "log_softmax": ("scale-1", "scale-10", "equal", "near-ties", "axis-0", "axis-1-of-3"),
    "logsumexp": ("scale-1", "scale-10", "equal", "near-ties", "axis-0", "axis-1-of-3"),
    "cross_entropy": ("scale-1", "scale-10", "equal", "mean-scale-1", "sum-scale-1", "mean-one-row"),
    "spatial_cross_entropy": ("scale-1", "scale-10", "one-dimension", "mean-scale-1", "sum-scale-1"),
    "soft_cross_entropy": ("scale-1", "scale-10", "equal", "smoothed-scale-1", "smoothed-mean", "sum-scale-1"),
    "weighted_cross_entropy": ("scale-1", "near-ties", "ignored-scale-1", "smoothed-ignored", "mean-ignored-smoothed"),
    "sigmoid": ("scale-1", "line-8", "zero"),
    "log_sigmoid": ("scale-1", "line-8", "zero"),
    "hinge": ("scale-1", "below-kink", "above-kink"),
    "squared_hinge": ("scale-1", "below-kink", "above-kink"),
    "ragged_centroid": ("delta-0", "scale-0.001", "two-points"),  # delta = 0: quadratic
    "binary_cross_entropy_with_logits": ("scale-1", "soft-scale-10", "zero", "mean-scale-1", "sum-soft-scale-10"),
    "negative_log_likelihood": ("near-ceiling",),
    "binary_cross_entropy": ("halves",),
    "categorical_cross_entropy": ("near-ceiling", "classes-1"),
    "layered_cross_entropy": ("scale-1", "equal", "mean-scale-1", "sum-scale-1"),
    "softmax_regression": ("scale-0.001", "scale-1", "reg-0.1-scale-1", "course-exercise"),
    "crammer_singer_hinge": ("scale-1", "scale-10", "led", "margin-0.5-scale-1", "mean-scale-1", "sum-scale-1"),
    "hinge_embedding": ("scale-1", "below-margin", "above-margin", "margin-0.3", "mean-of-seven", "sum-scale-1"),
    "margin_ranking": ("scale-1", "below-margin", "above-margin", "margin-0.3", "mean-of-seven", "sum-scale-1"),
    "focal_loss": ("scale-1", "scale-10", "gamma-1-scale-1", "alpha-0.3-scale-1", "mean-scale-1", "sum-scale-1"),
    "one_vs_rest": ("scale-1", "scale-10", "led", "mean-scale-1", "sum-scale-1"),
    "logistic_regression": ("scale-0.001", "scale-1", "reg-0.1-scale-1", "one-weight"),
    "categorical_hinge": ("scale-1", "scale-10", "led", "mean-scale-1", "sum-scale-1"),
    "multilabel_margin": ("scale-1", "scale-10", "led", "mean-scale-1", "sum-scale-1"),
    "multiclass_hinge": ("scale-1", "led", "squared-scale-1", "margin-0.5-scale-1", "mean-scale-1", "sum-scale-1"),
    "euclidean_norm": ("scale-10", "one-large", "cube"),
    "pairwise_distance": ("scale-10", "scale-30"),
    "segment_sum": ("scale-1", "some-empty", "vector"),
    "segment_mean": ("scale-1", "some-empty", "vector"),
    "pca": ("scale-10", "gap-half"),
}


def central_difference(op: Op, g: Array, arrays: Arrays, params: Mapping[str, Any], i: Any, h: float) -> float:
    """(f(x + h e) - f(x - h e)) / 2 h for f = sum(g y); `i` indexes the coordinates that are moved."""
    up, down = arrays["x"].copy(), arrays["x"].copy()
    up[i] += h
    down[i] -= h
    return float(
        np.sum(g * (value(op, {**arrays, "x": up}, params) - value(op, {**arrays, "x": down}, params))) / (2 * h)
    )


@pytest.mark.parametrize(
    ("op", "case"),
    [pytest.param(OPS[op], case, id=f"{op}/{case.name}") for op, names in DIFFERENCED.items()
     for case in OPS[op].cases if case.name in names],
)  # fmt: skip
def test_the_gradient_is_about_the_central_difference(op: Op, case: Case) -> None:
    """The coarse check that everybody knows, one coordinate at a time. It is off by h^2 / 6 times the third derivative
    and by the rounding of the two values, divided by 2 h: six digits at best, and with six digits it is content."""
    arrays = drawn(op, case)
    y = tracked_value(op, arrays, case.params)
    g = cotangent(op, case, y.shape)
    weight = np.abs(g).sum()
    allowed = DIFFERENCE**2 / 6 * CUBED.get(op.name, THIRD) * weight + np.sum(np.abs(g) * 2 * y.full) / DIFFERENCE
    want = tracked_vjp(op, g, arrays, case.params)["x"].v
    for i in np.ndindex(want.shape):
        assert abs(central_difference(op, g, arrays, case.params, i, DIFFERENCE) - want[i]) <= allowed


def test_the_course_exercise_gives_the_numbers_of_its_handout() -> None:
    """Loss and weight gradient of the linear softmax classifier. The handout computed them in float32."""
    op = OPS["softmax_regression"]
    case = next(case for case in op.cases if case.name == "course-exercise")
    arrays = drawn(op, case)
    y, dw = value(op, arrays, case.params), tracked_vjp(op, np.ones(()), arrays, case.params)["w"].v
    assert f"{float(y):.4f}" == "1.4709"
    assert np.array_equal(
        np.round(dw.astype(float), 6), [[-0.085229, 0.112664, -0.027435], [0.351029, -0.410729, 0.0597]]
    )


# What scikit-learn 1.9.1 gives, PCA(n_components=3).fit_transform, to eight decimals.
THREADS_PROJECTIONS = [
    [4282.20163145, 147.84415964, -267.73483211], [-3025.62452358, 683.58580386, 67.76941319],
    [-3599.15380006, -569.33984612, -148.62757658], [2342.57669218, -262.09011737, 348.5929955],
]  # fmt: skip


def assert_are_the_projections(z: Any) -> None:
    """Up to a sign for each component, and to half of the last decimal that is printed of each factor."""
    case = next(case for case in OPS["pca"].cases if case.name == "thread")
    squares = OPS["pca"].forward(**drawn(OPS["pca"], case), **case.params)[2]
    for square, column in zip(squares, np.transpose(z), strict=True):
        half = 0.5e-8 * np.add.outer(abs(column), abs(column)) + 1e-15 * np.max(column**2)
        assert (abs(square - np.outer(column, column)) <= half).all()


def test_pca_gives_the_projections_of_scikit_learn() -> None:
    assert_are_the_projections(THREADS_PROJECTIONS)
    flipped = np.array(THREADS_PROJECTIONS) * [1, -1, 1]
    assert_are_the_projections(flipped)
    with pytest.raises(AssertionError):
        assert_are_the_projections(np.array(THREADS_PROJECTIONS) * (1 + 1e-9))
    with pytest.raises(AssertionError):
        assert_are_the_projections(flipped[:, [1, 0, 2]])


def test_pca_gives_the_projections_of_the_scikit_learn_that_is_installed() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition", reason="scikit-learn is an optional extra")
    case = next(case for case in OPS["pca"].cases if case.name == "thread")
    assert_are_the_projections(decomposition.PCA(3).fit_transform(drawn(OPS["pca"], case)["x"]))


def test_every_op_has_its_central_differences() -> None:
    assert {op: len(set(names) & {case.name for case in OPS[op].cases}) for op, names in DIFFERENCED.items()} == {
        op: len(names) for op, names in DIFFERENCED.items()
    }
    assert set(DIFFERENCED) == set(OPS)


def test_shifting_a_whole_row_of_logits_shows_no_gradient() -> None:
    """The classic mistake: eps is added to all logits of a row at once, and the difference quotient is 0 however wrong
    the gradient may be, since softmax cross-entropy does not depend on a common shift. One coordinate at a time it is
    softmax(x) - onehot(t). The batch is the one of the thread that asked: 3 rows of 10 integers from 1 to 99."""
    op, draw = OPS["cross_entropy"], Draw("thread/eps-on-the-whole-row", "float64")
    arrays = {"x": draw.integers("x", (3, 10), 100, 1).astype(float), "t": draw.integers("t", (3,), 10)}
    params, g = {"reduction": "none"}, np.ones(3)
    gradient = tracked_vjp(op, g, arrays, params)["x"].v
    one_hot = np.arange(10) == arrays["t"][:, None]
    assert_within(gradient, tracked_softmax_minus(arrays["x"], one_hot))
    for row in range(3):
        assert central_difference(op, g, arrays, params, row, DIFFERENCE) == 0
        alone = [central_difference(op, g, arrays, params, (row, j), DIFFERENCE) for j in range(10)]
        assert np.array_equal(np.round(alone, 6), np.round(gradient[row].astype(float), 6))
        assert np.any(gradient[row] != 0)


def tracked_softmax_minus(x: Array, one_hot: Array) -> Tracked:
    return A.store(OPS["softmax"].forward(A(x), axis=-1) - one_hot)


# --- closed forms

L = np.longdouble
LOG2, LOG3 = np.log(L(2)), np.log(L(3))


def assert_closed_form(op: str, arrays: Arrays, params: Mapping[str, Any], want: Any) -> None:
    """The reference on float64 and on long double against a number known by other means. An input that float64 does
    not hold exactly has been moved by its rounding there."""
    arrays = {k: v if labels(v) else np.asarray(v, L) for k, v in arrays.items()}
    bound = A.store(value(OPS[op], {k: v if labels(v) else as_read(v) for k, v in arrays.items()}, params)).full
    for kind, part in ((np.float64, 1.0), (np.longdouble, PART)):
        got = value(OPS[op], {k: v if labels(v) else v.astype(kind) for k, v in arrays.items()}, params)
        assert got.shape == np.shape(want)
        assert (np.abs(got - np.asarray(want, L)) <= part * bound).all()


def labels(v: Any) -> bool:
    return isinstance(v, np.ndarray) and v.dtype.kind == "i"


def as_read(x: Array) -> Tracked:
    """What float64 makes of a long double input."""
    return Tracked(x, np.abs(x - x.astype(np.float64)).astype(np.float64), A)


TWO_ROWS = [[0, 0], [0, LOG3]]  # losses log 2 and log 4 for label 0
LAST, MEAN, SUM, NONE = {"axis": -1}, {"reduction": "mean"}, {"reduction": "sum"}, {"reduction": "none"}
COUNTED = {"label_smoothing": 0.0, "ignore_index": 9}
HARD = {"label_smoothing": 0.0, **NONE}


def two_classes(a: float, b: float) -> tuple[str, Arrays, Mapping[str, Any], Any]:
    """log(1 + exp(x_other - x_label)), for either label."""
    x, t = np.array([[a, b], [a, b]], float), np.array([0, 1])
    return "cross_entropy", {"x": x, "t": t}, NONE, [np.log1p(np.exp(L(b) - L(a))), np.log1p(np.exp(L(a) - L(b)))]


def weighing(t: list[int]) -> Arrays:
    return {"x": TWO_ROWS, "t": np.array(t), "weight": [3, 1.0]}


# margins of 1: 1/2 and 1; -4 and -3; 3 / 2 and 3 / 2, with the weight 3
THREE_CLASSES: Arrays = {
    "x": [[0.5, 0, 0.5], [5.0, 0, 1], [3, 3, 2.5]],
    "t": np.array([0, 0, 2]),
    "weight": [1, 2, 3.0],
}
SCORED: Arrays = {k: THREE_CLASSES[k] for k in ("x", "t")}


CLOSED_FORMS: dict[str, tuple[str, Arrays, Mapping[str, Any], Any]] = {
    "softmax of 0, log 3": ("softmax", {"x": [[0, LOG3]]}, LAST, [[0.25, 0.75]]),
    "softmax of one": ("softmax", {"x": [[5.0]]}, LAST, [[1.0]]),
    **{f"softmax of {n} equal": ("softmax", {"x": np.full((1, n), 7.0)}, LAST, np.full((1, n), L(1) / n))
       for n in (1, 2, 3, 10, 49, 1000)},
    "softmax along axis 0": ("softmax", {"x": [[0, 0], [LOG3, 0]]}, {"axis": 0}, [[0.25, 0.5], [0.75, 0.5]]),
    "log_softmax of 0, log 3": ("log_softmax", {"x": [[0, LOG3]]}, LAST, [[-2 * LOG2, LOG3 - 2 * LOG2]]),
    "log_softmax of 0, -1000": ("log_softmax", {"x": [[0, -1000]]}, LAST, [[0, -1000]]),
    **{f"logsumexp of {n} equal": ("logsumexp", {"x": np.full((1, n), 2.5)}, LAST, [2.5 + np.log(L(n))])
       for n in (1, 2, 3, 10, 49, 1000)},
    "logsumexp of log 1, 2, 3": ("logsumexp", {"x": [[0, LOG2, LOG3]]}, LAST, [LOG2 + LOG3]),
    **{f"cross-entropy of {a} and {b}": two_classes(a, b) for a, b in ((0, 0), (1, 3), (2.5, -4), (0, 40))},
    "cross-entropy of the pixels of an image": (
        "spatial_cross_entropy", {"x": [[[[0, LOG3]], [[LOG3, 0]]]], "t": np.array([[[0, 0]]])}, NONE,
        [[[2 * LOG2, 2 * LOG2 - LOG3]]],
    ),
    "cross-entropy of ten": ("cross_entropy", {"x": np.zeros((1, 10)), "t": np.array([3])}, NONE, [np.log(L(10))]),
    "cross-entropy, mean of two rows": ("cross_entropy", {"x": TWO_ROWS, "t": np.array([0, 0])}, MEAN, LOG2 * 3 / 2),
    "cross-entropy, sum of two rows": ("cross_entropy", {"x": TWO_ROWS, "t": np.array([0, 0])}, SUM, LOG2 * 3),
    "cross-entropy, sum of no rows": ("cross_entropy", {"x": np.zeros((0, 3)), "t": np.zeros(0, int)}, SUM, 0.0),
    "soft cross-entropy is the entropy": ("soft_cross_entropy", {"x": [[0, LOG3]], "t": [[0.25, 0.75]]}, HARD,
                                          [2 * LOG2 - 0.75 * LOG3]),
    "soft cross-entropy, one-hot": ("soft_cross_entropy", {"x": [[0, LOG3]], "t": [[1, 0]]}, HARD, [2 * LOG2]),
    "soft cross-entropy, unnormalised": ("soft_cross_entropy", {"x": [[0, 0.0]], "t": [[3, 2.5]]}, HARD, [5.5 * LOG2]),
    "soft cross-entropy of no target": ("soft_cross_entropy", {"x": [[0, 1e4]], "t": [[0, 0.0]]}, HARD, [0.0]),
    "soft cross-entropy, smoothed": ("soft_cross_entropy", {"x": [[0, LOG3]], "t": [[1, 0.0]]},
                                     {"label_smoothing": 0.5, **NONE}, [2 * LOG2 - 0.25 * LOG3]),
    "soft cross-entropy, mean of two rows": ("soft_cross_entropy", {"x": TWO_ROWS, "t": [[1, 0], [1.0, 0]]},
                                             {"label_smoothing": 0.0, **MEAN}, LOG2 * 3 / 2),
    "weighted cross-entropy": ("weighted_cross_entropy", weighing([0, 0]), {**COUNTED, **NONE}, [3 * LOG2, 6 * LOG2]),
    "weighted cross-entropy, mean": ("weighted_cross_entropy", weighing([0, 0]), {**COUNTED, **MEAN}, LOG2 * 3 / 2),
    "weighted cross-entropy, mean of two weights": (
        "weighted_cross_entropy", weighing([0, 1]), {**COUNTED, **MEAN}, (3 * LOG2 + 2 * LOG2 - LOG3) / 4),
    "weighted cross-entropy, a row by N": (
        "weighted_cross_entropy", weighing([0, 0]), {**COUNTED, **MEAN, "denominator": "rows"}, LOG2 * 9 / 2),
    "weighted cross-entropy, one ignored": (
        "weighted_cross_entropy", weighing([0, 9]), {**COUNTED, **SUM}, 3 * LOG2),
    "weighted cross-entropy, mean of those that count": (
        "weighted_cross_entropy", weighing([9, 0]), {**COUNTED, **MEAN}, 2 * LOG2),
    "weighted cross-entropy, smoothed": (
        "weighted_cross_entropy", weighing([0, 9]), {**COUNTED, **SUM, "label_smoothing": 0.5}, 2.5 * LOG2),
    "sigmoid of 0": ("sigmoid", {"x": [0.0, -0.0]}, {}, [0.5, 0.5]),
    "sigmoid of log 3": ("sigmoid", {"x": [LOG3, -LOG3]}, {}, [0.75, 0.25]),
    "log_sigmoid of 0": ("log_sigmoid", {"x": [0.0]}, {}, [-LOG2]),
    "log_sigmoid of log 3": ("log_sigmoid", {"x": [LOG3, -LOG3]}, {}, [LOG3 - 2 * LOG2, -2 * LOG2]),
    "log_sigmoid of -1000": ("log_sigmoid", {"x": [-1000.0]}, {}, [-1000]),
    "hinge": ("hinge", {"x": [2, 1, 0.5, 0, -1, 0.5, -3], "t": np.array([1, 1, 1, 1, 1, -1, -1.0])}, {},
              [0, 0, 0.5, 1, 2, 1.5, 0]),
    **{f"binary cross-entropy, {how}": ("binary_cross_entropy_with_logits", {"x": [LOG3, LOG3, 0], "t": [1, 0, 0.5]},
                                        {"pos_weight": p, "reduction": how}, want)
       for how, p, want in (("none", None, [2 * LOG2 - LOG3, 2 * LOG2, LOG2]), ("sum", None, 5 * LOG2 - LOG3),
                            ("mean", 2.0, (15 * LOG2 / 2 - 2 * LOG3) / 3))},
    "binary cross-entropy far out": (
        "binary_cross_entropy_with_logits", {"x": [-1000, 1000, 1000], "t": [1, 0, 1]},
        {"pos_weight": None, "reduction": "none"}, [1000, 1000, np.exp(L(-1000))],
    ),
    **{f"negative log-likelihood, {how} {more}": ("negative_log_likelihood", {"x": [[0.25, 0.75], [0.5, 0.25]],
                                           "t": np.array([0, 1])}, {"reduction": how, **more}, want)
       for how, more, want in (
           ("none", {}, [2 * LOG2, 2 * LOG2]), ("sum", {}, 4 * LOG2), ("mean", {}, 2 * LOG2),
           ("none", {"normalised": "last"}, [2 * LOG2, LOG3]), ("none", {"floor": 0.5}, [LOG2, LOG2]),
           ("none", {"floor": 0.5, "normalised": "last"}, [np.log(L(2.5)), LOG2]),
           ("none", {"normalised": "first"}, [2 * LOG2, LOG3]),
           ("none", {"floor": 0.5, "normalised": "first"}, [LOG2, LOG2]),
           ("none", {"ceiling": 0.125}, [3 * LOG2, 3 * LOG2]))},
    **{f"categorical cross-entropy, {how} {more}": (
        "categorical_cross_entropy", {"x": [[0.25, 0.75], [0.5, 0.25]], "t": [[0.5, 0.5], [0, 1]]},
        {"alpha": None, "gamma": 0, "reduction": how, **more}, want)
       for how, more, want in (
           ("none", {}, [2 * LOG2 - LOG3 / 2, 2 * LOG2]), ("sum", {}, 4 * LOG2 - LOG3 / 2),
           ("mean", {"alpha": 0.25}, LOG2 / 2 - LOG3 / 16), ("none", {"gamma": 1}, [LOG2 - LOG3 / 8, 3 * LOG2 / 2]),
           ("none", {"gamma": 2, "alpha": 8.0}, [5 * LOG2 - LOG3 / 4, 9 * LOG2]),
           ("none", {"normalised": "first"}, [2 * LOG2 - LOG3 / 2, LOG3]),
           ("none", {"floor": 0.5}, [3 * LOG2 / 2 - LOG3 / 2, LOG2]),
           ("none", {"ceiling": 0.5}, [3 * LOG2 / 2, 2 * LOG2]))},
    **{f"layered cross-entropy, {more}": ("layered_cross_entropy", {"x": TWO_ROWS, "q": [[0, 0], [0, 0.25]],
                                          "t": np.array([0, 1])}, {**NONE, **more}, want)
       for more, want in (({}, [LOG2, 0]), ({"normalised": "last"}, [LOG2, np.log(L(1.25))]))},
    **{f"binary cross-entropy of probabilities, {how} {more}": (
        "binary_cross_entropy", {"x": [0.25, 0.25, 0.75], "t": [1, 0, 0.5]}, {"reduction": how, **more}, want)
       for how, more, want in (
           ("none", {}, [2 * LOG2, 2 * LOG2 - LOG3, 2 * LOG2 - LOG3 / 2]), ("sum", {}, 6 * LOG2 - LOG3 * 3 / 2),
           ("mean", {}, 2 * LOG2 - LOG3 / 2), ("none", {"floor": 0.5, "ceiling": 0.5}, [LOG2, LOG2, LOG2]),
           ("none", {"least_log": -0.5}, [0.5, 2 * LOG2 - LOG3, 0.25 + LOG2 - LOG3 / 2]))},
    "softmax regression": ("softmax_regression", {"x": [[1, 0], [0, 1.0]], "w": [[0, LOG3], [0, 0.0]],
                           "t": np.array([0, 1])}, {"reg": 0.0}, LOG2 * 3 / 2),
    "softmax regression, penalised": ("softmax_regression", {"x": [[0, 0.0]], "w": [[3, -4], [0, 0.5]],
                                      "t": np.array([1])}, {"reg": 2.0, "penalty": 0.5}, LOG2 + 25.25),
    **{f"multiclass hinge, p = {p}, {how}": ("multiclass_hinge", THREE_CLASSES, {"p": p, "margin": 1.0, **how_}, want)
       for p, how, how_, want in (
           (1, "none", NONE, [1.5, 0, 9]), (2, "none", NONE, [1.25, 0, 13.5]), (1, "sum", SUM, 10.5),
           (1, "mean", MEAN, 3.5), (1, "by classes", {**NONE, "divisor": "classes"}, [0.5, 0, 3]),
           (2, "mean by classes", {**MEAN, "divisor": "classes"}, L(59) / 36))},
    **{f"the worst class, {how}, margin {m:g}": ("crammer_singer_hinge", SCORED, {"margin": m, **how_}, want)
       for how, how_, m, want in (("none", NONE, 1.0, [1, 0, 1.5]), ("none", NONE, 4.5, [4.5, 0.5, 5]),
                                  ("sum", SUM, 1.0, 2.5), ("mean", MEAN, 1.0, L(5) / 6))},
    "the worst of one class": (
        "crammer_singer_hinge", {"x": [[5.0]], "t": np.array([0])}, {"margin": 1.0, **NONE}, [0]),
    **{f"hinge embedding, {how}, margin {m:g}": (
        "hinge_embedding", {"x": [2, 0.5, 2, 0.5, 1], "t": np.array([1, 1, -1, -1, -1.0])},
        {"margin": m, "reduction": how}, want,
    ) for how, m, want in (("none", 1.0, [2, 0.5, 0, 0.5, 0]), ("none", 3.0, [2, 0.5, 1, 2.5, 2]), ("sum", 1.0, 3),
                           ("mean", 3.0, L(8) / 5))},
    **{f"margin ranking, {how}, margin {m:g}": (
        "margin_ranking", {"x": [3, 3, 1, 1], "other": [1, 1, 3, 3], "t": np.array([1, -1, 1, -1.0])},
        {"margin": m, "reduction": how}, want,
    ) for how, m, want in (("none", 0.0, [0, 2, 2, 0]), ("none", 2.5, [0.5, 4.5, 4.5, 0.5]), ("sum", 2.0, 8),
                           ("mean", 2.5, 2.5))},
    **{f"focal loss, gamma {k}, alpha {a}, {how}": (
        "focal_loss", {"x": [LOG3, LOG3, 0], "t": np.array([1, 0, 1.0])}, {"alpha": a, "gamma": k, "reduction": how},
        want)
       for k, a, how, want in (
           (0, None, "none", [2 * LOG2 - LOG3, 2 * LOG2, LOG2]),
           (1, None, "none", [(2 * LOG2 - LOG3) / 4, LOG2 * 3 / 2, LOG2 / 2]),
           (2, None, "none", [(2 * LOG2 - LOG3) / 16, LOG2 * 9 / 8, LOG2 / 4]),
           (2, 0.25, "none", [(2 * LOG2 - LOG3) / 64, LOG2 * 27 / 32, LOG2 / 16]),
           (2, None, "sum", LOG2 * 3 / 2 - LOG3 / 16), (2, None, "mean", LOG2 / 2 - LOG3 / 48))},
    **{f"one against the rest, {how} {more}": (
        "one_vs_rest", {"x": [[LOG3, 0, -LOG3], [LOG3, 0, -LOG3]], "t": np.array([0, 2])}, {"reduction": how, **more},
        want,
    ) for how, more, want in (
        ("none", {}, [5 * LOG2 - 2 * LOG3, 5 * LOG2]), ("sum", {}, 10 * LOG2 - 2 * LOG3),
        ("mean", {}, 5 * LOG2 - LOG3), ("mean", {"divisor": "classes"}, (5 * LOG2 - LOG3) / 3))},
    "logistic regression": ("logistic_regression", {"x": [[1, 0], [0, 1.0]], "w": [LOG3, 0], "t": [1, 0]},
                            {"reg": 0.0}, LOG2 * 3 / 2 - LOG3 / 2),
    "logistic regression, penalised": ("logistic_regression", {"x": [[0, 0.0]], "w": [3, -4], "t": [1]},
                                       {"reg": 2.0, "penalty": 0.5}, LOG2 + 25),
    **{f"categorical hinge, {how}": ("categorical_hinge", SCORED, {"reduction": how}, want)
       for how, want in (("none", [1, 0, 1.5]), ("sum", 2.5), ("mean", L(5) / 6))},
    "categorical hinge below zero": (
        "categorical_hinge", {"x": [[-3, -4.0], [0.5, -4]], "t": np.array([0, 0])}, NONE, [4, 0.5]),
    **{f"multilabel margin, {how} {more}": (
        "multilabel_margin", {"x": [[0.5, 1, 0, 2], [0.5, 1, 0, 2]], "t": np.array([[3, 0, -1, 1], [-1, 0, 1, 2]])},
        {"reduction": how, **more}, want,
    ) for how, more, want in (("none", {}, [2, 0]), ("none", {"divisor": "classes"}, [0.5, 0]), ("sum", {}, 2),
                              ("mean", {}, 1))},
    "multiclass hinge, margin 2": ("multiclass_hinge", THREE_CLASSES, {"p": 1, "margin": 2.0, **NONE}, [3.5, 0, 15]),
    "multiclass hinge of one class": (
        "multiclass_hinge", {"x": [[5.0]], "t": np.array([0]), "weight": [2.0]}, {"p": 1, "margin": 1.0, **NONE}, [0]),
    "norm": ("euclidean_norm", {"x": [[3, 4], [-5, 12], [0, 0.0], [1, -1]]}, {}, [5, 13, 0, np.sqrt(L(2))]),
    **{f"pca, {k} of two directions": (
        "pca", {"x": [[6, 4, 1], [0, 4, 1], [3, 6, 1], [3, 2, 1.0]]}, {"components": k}, want)
       for k, want in ((1, [[6, 4, 1], [0, 4, 1], [3, 4, 1], [3, 4, 1]]),
                       (2, [[6, 4, 1], [0, 4, 1], [3, 6, 1], [3, 2, 1]]))},
    "norm of nothing": ("euclidean_norm", {"x": np.zeros((2, 0))}, {}, [0, 0]),
    **{f"distance, eps {eps:g}": ("pairwise_distance", {"x": [[3, 4], [1, 1]], "other": [[0, 0], [1, 1.0]]},
                                  {"eps": eps}, want)
       for eps, want in ((0.0, [5, 0]), (1.0, [np.sqrt(L(41)), np.sqrt(L(2))]))},
    "segment sum": ("segment_sum", {"x": [[1, 2], [3, 4], [5, 6.0]], "ids": np.array([2, 0, 2])}, {"count": 4},
                    [[3, 4], [0, 0], [6, 8], [0, 0]]),
    "segment mean": ("segment_mean", {"x": [[1, 2], [3, 4], [5, 6.0]], "ids": np.array([2, 0, 2])}, {"count": 4},
                     [[3, 4], [0, 0], [3, 4], [0, 0]]),
    "squared hinge": ("squared_hinge", {"x": [2, 1, 0.5, 0, -1, 0.5, -3], "t": np.array([1, 1, 1, 1, 1, -1, -1.0])}, {},
                      [0, 0, 0.25, 1, 4, 2.25, 0]),
}  # fmt: skip


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_form(name: str) -> None:
    assert_closed_form(*CLOSED_FORMS[name])


@pytest.mark.parametrize("kind", [np.float64, np.longdouble])
def test_what_is_not_finite(kind: Any) -> None:
    """A row of -inf, a row with +inf or NaN, and the mean of no rows."""
    rows = np.array([[-np.inf, -np.inf], [np.inf, 0], [np.nan, 0], [-np.inf, 0]], kind)
    nan = np.nan
    for op, want in (
        ("softmax", [[nan, nan], [nan, nan], [nan, nan], [0, 1]]),
        ("log_softmax", [[nan, nan], [nan, nan], [nan, nan], [-np.inf, 0]]),
        ("logsumexp", [-np.inf, np.inf, nan, 0]),
    ):
        assert np.array_equal(value(OPS[op], {"x": rows}, LAST), want, equal_nan=True)
    assert value(OPS["sigmoid"], {"x": np.array([np.inf, -np.inf], kind)}, {}).tolist() == [1, 0]
    assert value(OPS["log_sigmoid"], {"x": np.array([np.inf, -np.inf], kind)}, {}).tolist() == [0, -np.inf]
    assert np.isnan(value(OPS["cross_entropy"], {"x": np.zeros((0, 3), kind), "t": np.zeros(0, int)}, MEAN))
    masked = {"x": np.array([[0, -np.inf]], kind), "t": np.array([[1, 0]], kind), **HARD}
    assert value(OPS["soft_cross_entropy"], masked, {"masked": 0.0}) == 0
    assert np.isnan(value(OPS["soft_cross_entropy"], masked, {"masked": nan}))
    nothing = {"x": np.zeros((2, 3), kind), "t": np.array([9, 9]), "weight": np.ones(3, kind), **COUNTED}
    assert np.isnan(value(OPS["weighted_cross_entropy"], nothing, MEAN))
    assert value(OPS["weighted_cross_entropy"], nothing, SUM) == 0
    empty = {"x": np.zeros((0, 4, 3), kind), "t": np.zeros((0, 4), int)}
    assert np.isnan(value(OPS["ragged_centroid"], empty, {"delta": kind(0.5), **MEAN}))


def test_one_function_is_another() -> None:
    """sigmoid(x) = softmax([x, 0])[0] and log_sigmoid(x) = log_softmax([x, 0])[0] = -cross_entropy([x, 0], 0);
    sigmoid(x) + sigmoid(-x) = 1; log_softmax is x - logsumexp."""
    x = np.linspace(-40, 40, 65)
    pairs = np.stack([x, np.zeros_like(x)], -1)
    s, ls = (tracked_value(OPS[op], {"x": x}, {}) for op in ("sigmoid", "log_sigmoid"))
    p, lp, lse = (tracked_value(OPS[op], {"x": pairs}, LAST) for op in ("softmax", "log_softmax", "logsumexp"))
    ce = tracked_value(OPS["cross_entropy"], {"x": pairs, "t": np.zeros(len(x), int)}, NONE)
    assert_agree(s, p[:, 0])
    assert_agree(ls, lp[:, 0])
    assert_agree(ls, -ce)
    assert_agree(s + s[::-1], A(np.ones(len(x))))
    assert_agree(lp, A(pairs) - np.expand_dims(lse, -1))


@pytest.mark.parametrize(
    ("op", "road"), [pytest.param(op, road, id=f"{op.name}/{road}") for op in OPS.values() for road in op.roads]
)
def test_a_road_leads_to_the_same_place(op: Op, road: str) -> None:
    """Value and gradients of another formula are those of the operation, in every case that has a gradient."""
    taken = op.roads[road]
    other = replace(op, forward=taken.forward or op.forward, vjp=taken.vjp or op.vjp)
    # one added to all: where that makes scores equal, the gradient is known to an interval only
    cases = [c for c in smooth_cases(op) if road != "one-added-to-all" or not together(drawn(op, c)["x"], **c.params)]
    assert cases
    for case in cases:
        arrays, params = drawn(op, case), tracked(A, case.params)
        want = tracked_value(op, arrays, params)
        assert_agree(tracked_value(other, arrays, params), want)
        g = cotangent(op, case, want.shape)
        for k, dx in tracked_vjp(op, g, arrays, params).items():
            assert_agree(tracked_vjp(other, g, arrays, params)[k], dx)


def test_a_quotient_is_not_due_beside_an_infinite_logit() -> None:
    """e (g / S) of two infinities is NaN; the softmax of a finite logit is 0 there, of however large a one."""
    x, g = np.array([[1e308, np.inf, 0.0], [2.0, 1.0, -np.inf]]), np.ones(2)
    with np.errstate(all="ignore"):
        op = OPS["logsumexp"]
        own, dx = (vjp(g, op.forward(x), x)["x"] for vjp in (op.vjp, op.roads["quotient"].vjp))
    assert np.array_equal(np.isnan(dx), [[False, True, False], [False] * 3])
    assert dx[0, [0, 2]].tolist() == [0.0, 0.0]
    assert np.allclose(dx, own, rtol=1e-15, atol=0, equal_nan=True)


def together(x: Array, margin: float, **_: Any) -> bool:
    """Whether scores that differ are equal once the margin is added to them."""
    return any(len(np.unique(row + margin)) < len(np.unique(row)) for row in x)


def assert_agree(a: Tracked, b: Tracked) -> None:
    """Two truths, each known to a part of its own bound."""
    assert (np.abs(a.v - b.v) <= PART * (a.full + b.full).astype(a.v.dtype)).all()


def test_a_common_shift_changes_nothing() -> None:
    """Of softmax, log_softmax and cross-entropy; logsumexp moves with it. The shift is exact: a multiple of the
    logits' last place."""
    x = np.round(Draw("shift", "float64").normal("x", (6, 9), 3.0) * 64) / 64
    t = np.arange(6)
    for shift in (1024.0, -4096.0):
        for op in ("softmax", "log_softmax"):
            assert np.array_equal(value(OPS[op], {"x": x + shift}, LAST), value(OPS[op], {"x": x}, LAST))
        moved, still = (value(OPS["cross_entropy"], {"x": z, "t": t}, NONE) for z in (x + shift, x))
        assert np.array_equal(moved, still)
        lse = tracked_value(OPS["logsumexp"], {"x": x + shift}, LAST)
        assert_agree(lse, tracked_value(OPS["logsumexp"], {"x": x}, LAST) + shift)


@pytest.mark.parametrize("at_zero", [0.0, np.nan])
def test_the_norm_of_zeros(at_zero: float) -> None:
    """A row of zeros has the convention's gradient, and no other row has; so have two rows that coincide."""
    x = np.array([[3.0, 4.0], [0.0, -0.0]])
    y = OPS["euclidean_norm"].forward(x)
    dx = OPS["euclidean_norm"].vjp(np.ones(2), y, x, at_zero=at_zero)["x"]
    assert np.array_equal(dx, [[0.6, 0.8], [at_zero, at_zero]], equal_nan=True)
    apart = OPS["pairwise_distance"].vjp(np.ones(2), y, x + 1, np.ones((2, 2)), at_zero=at_zero)
    assert np.array_equal(apart["x"], dx, equal_nan=True)
    assert np.array_equal(apart["other"], -dx, equal_nan=True)


@pytest.mark.parametrize("empty", [0.0, np.nan])
def test_the_mean_of_an_empty_segment(empty: float) -> None:
    y = OPS["segment_mean"].forward(np.array([1.0, 3.0]), np.array([1, 1]), 3, empty=empty)
    assert np.array_equal(y, [empty, 2, empty], equal_nan=True)


@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_the_hinge_at_its_kink(kink: float) -> None:
    """-t times the convention's value, for either label; -t before the kink, 0 beyond it."""
    x, t = np.array([1.0, -1.0, 0.5, -0.5, 2.0, -2.0]), np.array([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])
    dx = OPS["hinge"].vjp(np.ones(6), None, x, t, kink=kink)["x"]
    assert dx.tolist() == [-kink, kink, -1, 1, 0, 0]


@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_the_multiclass_hinge_at_its_kinks(kink: float) -> None:
    """Of scores 3, 2, 2 and 4 for the first class: two at the kink, one beyond it; p = 2 needs no convention there."""
    x, weight, t = np.array([[3.0, 2, 2, 4]]), np.array([2.0, 1, 1, 1]), np.array([0])
    vjp = OPS["multiclass_hinge"].vjp
    assert vjp(np.ones(1), None, x, t, weight=weight, kink=kink)["x"].tolist() == [
        [-2 - 4 * kink, 2 * kink, 2 * kink, 2]
    ]  # fmt: skip
    halved = vjp(np.ones(1), None, x, t, weight=weight, kink=kink, divisor="classes")["x"]
    assert halved.tolist() == [[-0.5 - kink, kink / 2, kink / 2, 0.5]]
    assert vjp(np.ones(1), None, x, t, weight=weight, p=2, kink=kink)["x"].tolist() == [[-8, 0, 0, 8]]


@pytest.mark.parametrize("slope", [0.0, 1.0, np.nan])
def test_a_score_that_is_nan(slope: float) -> None:
    """Its loss is NaN; the other wrong classes are pulled as always, the label by all of them."""
    x, weight, t = np.array([[0.0, np.nan, 2.0]]), np.ones(3), np.array([0])
    op, one = OPS["multiclass_hinge"], np.ones(1)
    assert np.isnan(op.forward(x, t, weight=weight)).all()
    dx = op.vjp(one, None, x, t, weight=weight, nan_margin=slope)["x"]
    assert np.array_equal(dx, [[-1 - slope, slope, 1]], equal_nan=True)
    for square in (0.0, np.nan):
        dx = op.vjp(one, None, x, t, weight=weight, p=2, nan_margin=slope, nan_square=square)["x"]
        assert np.array_equal(dx, [[-6 - square, square, 6]], equal_nan=True)


@pytest.mark.parametrize(("tie", "shared"), [("split", [0.5, 0.5]), ("first", [1, 0])])
def test_the_worst_class_at_kinks_and_ties(tie: str, shared: list[float]) -> None:
    """Two wrong classes worst: beyond the kink, at it, and where the label ties with them."""
    vjp, t, g = OPS["crammer_singer_hinge"].vjp, np.array([0, 0]), np.ones(2)
    x = np.array([[3.0, 4, 1, 4], [3, 2, 1, 2]])
    for kink in (0.0, 0.5, 1.0):
        dx = vjp(g, None, x, t, kink=kink, tie=tie)["x"]
        row = np.array([-1, shared[0], 0, shared[1]])
        assert dx.tolist() == [row.tolist(), (row * kink).tolist()]
    dx = vjp(g, None, x, t, kink="tie", tie=tie)["x"][1]
    third = 1 / np.float64(3)
    assert dx.tolist() == ([third - 1, third, 0, third] if tie == "split" else [0, 0, 0, 0])


@pytest.mark.parametrize("slope", [0.0, 1.0, np.nan])
def test_a_worst_score_that_is_nan(slope: float) -> None:
    """Nobody's share of it is a number, but that of the first NaN where the first has all."""
    op, one, x, t = OPS["crammer_singer_hinge"], np.ones(1), np.array([[0.0, np.nan, 2.0]]), np.array([0])
    assert np.isnan(op.forward(x, t)).all()
    for tie, want in (("split", [-slope, np.nan, np.nan]), ("first", [-slope, slope, 0 * slope])):
        with np.errstate(invalid="ignore"):
            dx = op.vjp(one, None, x, t, tie=tie, nan_margin=slope)["x"]
        assert np.array_equal(dx, [want], equal_nan=True)


@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_the_ranking_of_equal_scores(kink: float) -> None:
    """Without a margin they are at the kink; a score that is NaN has the slope of the convention."""
    x, other, t = np.array([2.0, 2, 3, np.nan]), np.array([2.0, 2, 1, 1]), np.array([1.0, -1, -1, 1])
    op = OPS["margin_ranking"]
    assert np.array_equal(op.forward(x, other, t), [0, 0, 2, np.nan], equal_nan=True)
    d = op.vjp(np.ones(4), None, x, other, t, kink=kink, nan_margin=kink)
    assert d["x"].tolist() == [-kink, kink, 1, -kink]
    assert d["other"].tolist() == [kink, -kink, -1, kink]


@pytest.mark.parametrize("kink", [0.0, 0.5, 1.0])
def test_the_hinge_embedding_at_its_margin(kink: float) -> None:
    """Only those that belong apart have a kink, and a slope at NaN that is in doubt."""
    x, t = np.array([1.0, 1.0, 0.5, 2.0, np.nan, np.nan]), np.array([1.0, -1.0, -1.0, -1.0, 1.0, -1.0])
    op, g = OPS["hinge_embedding"], np.ones(6)
    assert np.isnan(op.forward(x, t)[4:]).all()
    assert op.vjp(g, None, x, t, kink=kink, nan_margin=kink)["x"].tolist() == [1, -kink, -1, 0, 1, -kink]


@pytest.mark.parametrize("slope", [0.0, 1.0, np.nan])
def test_the_hinge_of_nan(slope: float) -> None:
    x, t = np.array([np.nan, np.nan]), np.array([1.0, -1.0])
    assert np.isnan(OPS["hinge"].forward(x, t)).all()
    dx = OPS["hinge"].vjp(np.ones(2), None, x, t, nan_margin=slope)["x"]
    assert np.array_equal(dx, -t * slope, equal_nan=True)


def test_the_squared_hinge_needs_no_convention_at_its_kink() -> None:
    x, t = np.array([1.0, -1.0, 0.5, -0.5, 2.0, np.nan]), np.array([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
    vjp = OPS["squared_hinge"].vjp
    for nan_margin in (0.0, np.nan):
        dx = vjp(np.ones(6), None, x, t, nan_margin=nan_margin)["x"]
        assert np.array_equal(dx, [0, 0, -1, 1, 0, nan_margin], equal_nan=True)


def test_the_gradient_of_infinite_margins() -> None:
    """Far beyond the kink nothing pulls; far before it the hinge pulls as always and its square without bound."""
    x, t = np.array([np.inf, -np.inf]), np.array([1.0, 1.0])
    assert OPS["hinge"].vjp(np.ones(2), None, x, t)["x"].tolist() == [0, -1]
    assert OPS["squared_hinge"].vjp(np.ones(2), None, x, t)["x"].tolist() == [0, -np.inf]


@pytest.mark.parametrize("kind", [np.float64, np.longdouble])
def test_the_mean_is_the_sum_divided_by_the_rows(kind: Any) -> None:
    """By all of them, value and gradient, in the same arithmetic: no rounding to allow for."""
    op, draw = OPS["cross_entropy"], Draw("mean", "float64")
    arrays = {"x": draw.normal("x", (7, 5), 3.0).astype(kind), "t": draw.integers("t", (7,), 5)}
    none, total, mean = (value(op, arrays, {"reduction": r}) for r in ("none", "sum", "mean"))
    assert total == none.sum(axis=0)
    assert mean == total / 7
    g = kind(3)
    by_row = op.vjp(np.full(7, g / 7), none, **arrays, **NONE)["x"]
    assert np.array_equal(op.vjp(g, mean, **arrays, **MEAN)["x"], by_row)


# --- numbers that people printed when they asked

W = np.array([[0.33669036626815796, 0.12880940735340118, 0.23446236550807953],
              [0.23033303022384644, -1.1228563785552979, -0.18632829189300537]])  # fmt: skip
X = np.array([
    [-0.24825750291347504, -1.2082147598266602], [-0.4776674509048462, 0.5201311707496643],
    [-1.3846737146377563, -0.8712361454963684], [-0.223365917801857, 1.7173614501953125],
    [0.3188803195953369, -0.42451897263526917], [0.3057209253311157, -0.7745925188064575],
    [-1.5575724840164185, 0.9956361055374146], [-0.8797858357429504, -0.6011420488357544],
    [-1.2741512060165405, 2.1227850914001465], [-1.234653115272522, -0.4879138767719269],
])  # fmt: skip
LABELS = np.array([0, 2, 0, 0, 1, 0, 1, 1, 1, 2])
P = np.array([0.16005908, 0.06725888, 0.10924701, 0.11384503, 0.08331395, 0.06459966, 0.1163387, 0.06519166, 0.06509037,
              0.15505567])  # fmt: skip


def printed(digits: int) -> float:
    """What rounding to so many decimals hides."""
    return 0.5 * 10.0**-digits


def test_the_course_exercise() -> None:
    """A linear softmax classifier, torch.manual_seed(42): loss 1.4709, dW = X^T (softmax(X W) - onehot) / N. The
    printed dW came out of float32: each of its sums of ten products has its bound."""
    op, arrays = OPS["cross_entropy"], {"x": X @ W, "t": LABELS}
    assert abs(value(op, arrays, MEAN) - 1.4709) <= printed(4)
    want = [[-0.08522901, 0.11266414, -0.02743511], [0.351029, -0.41072887, 0.05969986]]
    half = Arithmetic("float32")
    dx = half.store(op.vjp(half(1.0), None, half(X @ W), LABELS, **MEAN)["x"])
    products = half(X)[:, :, None] * dx[:, None, :]
    dw = half.store(np.sum(products, axis=0))
    assert (np.abs(dw.v - want) <= dw.full + np.array([[printed(8)], [printed(8)]])).all()


def test_softmax_and_cross_entropy_as_separate_layers() -> None:
    """The probabilities of a row of ten, label 8: loss 2.73197873; the gradient for the probabilities is -1 / p there
    where the loss does not renormalise them, 1 - 1 / p there and 1 elsewhere where it does, and for the logits, which
    are log p here, it is p - onehot in both: both are right, of two functions."""
    t, op, label = np.array([8]), OPS["negative_log_likelihood"], np.arange(10) == 8
    moved = printed(8) / P  # by this part the printed p moves a result
    for normalised, want in ((False, -15.36325671 * label), ("last", np.where(label, -14.36325671, 1.0))):
        params = {**NONE, "normalised": normalised}
        assert abs(value(op, {"x": P[None], "t": t}, params)[0] - 2.73197873) <= printed(8) + moved[8] + np.sum(
            P * moved
        )
        dp = tracked_vjp(op, np.ones(1), {"x": P[None], "t": t}, params)["x"]
        assert (np.abs(dp.v - want) <= dp.full + printed(8) + moved / P).all()
        dx = softmax_vjp_of(dp)
        slack = 10 * printed(8)  # p - onehot moves with each of the ten printed p, their sum among them
        assert (np.abs(dx.v - (P - label)) <= dx.full + slack).all()


def softmax_vjp_of(dp: Tracked) -> Tracked:
    """The gradient for the logits, from that for the probabilities."""
    return A.store(OPS["softmax"].vjp(dp, A(P[None]), A(np.log(P)[None]), axis=-1)["x"])


@pytest.mark.parametrize("kind", [np.float64, np.longdouble])
def test_what_is_clipped_has_no_gradient_and_the_clip_itself_has(kind: Any) -> None:
    op, clip = OPS["negative_log_likelihood"], {"floor": 0.25, "ceiling": 0.75}
    x, t = np.array([0.125, 0.25, 0.5, 0.75, 1.0, np.nan], kind)[:, None], np.zeros(6, int)
    dx = op.vjp(np.ones(6, kind), None, x, t, **clip)["x"]
    assert dx[:, 0].tolist() == [0, -4, -2, -1 / kind(0.75), 0, 0]
    assert np.isnan(op.vjp(np.ones(6, kind), None, x, t)["x"][5])


@pytest.mark.parametrize("road", ["", "complement", "fused"])
def test_a_confident_mistake_of_probabilities(road: str) -> None:
    """NaN without a clip, by 0 log 0; else what the clip says: that of the logarithm is in the value alone, that of the
    variance in the gradient alone, that of the probability in both."""
    op = OPS["binary_cross_entropy"]
    taken = op.roads.get(road, Road())
    forward, vjp = taken.forward or op.forward, taken.vjp or op.vjp
    x, t, clipped = np.array([0.0, 1.0]), np.array([1.0, 0.0]), {"floor": 0.25, "ceiling": 0.75}
    with np.errstate(all="ignore"):
        assert forward(x, t).tolist() == [np.inf, np.inf]
        assert np.isnan(forward(x, 1 - t)).all()
        assert forward(x, t, least_log=-100.0).tolist() == [100, 100]
        assert forward(x, 1 - t, least_log=-100.0).tolist() == [0, 0]
        assert forward(x, t, **clipped).tolist() == [-np.log(0.25)] * 2
        assert vjp(np.ones(2), None, x, t, **clipped)["x"].tolist() == [0, 0]
    if road == "fused":
        assert vjp(np.ones(2), None, x, t, least_variance=0.125)["x"].tolist() == [-8, 8]


@pytest.mark.parametrize("every_log", [False, True])
def test_the_gradient_for_a_probability_of_0_that_is_not_the_label_s(every_log: bool) -> None:
    op, x = OPS["negative_log_likelihood"], np.array([[0.0, 0.5, 0.5]])
    with np.errstate(all="ignore"):
        dx = op.vjp(np.ones(1), None, x, np.array([1]), every_log=every_log)["x"]
    assert np.array_equal(dx, [[np.nan if every_log else 0, -2, 0]], equal_nan=True)


@pytest.mark.parametrize(("at_clip", "want"), [(1.0, [-4, 0, -2, -4 / 3, 0]), (0.5, [-2, 0, -2, -2 / 3, 0])])
def test_the_gradient_at_a_clip_is_a_convention(at_clip: float, want: list[float]) -> None:
    """0 outside, -1 / p inside; both for one class, where normalising would hide it, and for the binary loss."""
    x, clip = np.array([0.25, 0.125, 0.5, 0.75, 1.0]), {"floor": 0.25, "ceiling": 0.75, "at_clip": at_clip}
    of_one, binary = OPS["negative_log_likelihood"], OPS["binary_cross_entropy"]
    assert np.array_equal(of_one.vjp(np.ones(5), None, x[:, None], np.zeros(5, int), **clip)["x"][:, 0], want)
    dx = tracked_vjp(binary, np.ones(5), {"x": x, "t": np.ones(5)}, {**NONE, **clip})["x"]
    assert (np.abs(dx.v - want) <= dx.full).all()


@pytest.mark.parametrize("normalised", ["first", "last"])
def test_the_normalised_gradient_is_its_complex_step(normalised: str) -> None:
    op, draw = OPS["negative_log_likelihood"], Draw("normalised", "float64")
    arrays = {"x": np.abs(draw.normal("x", (4, 5))), "t": draw.integers("t", (4,), 5)}
    params, g = {**NONE, "normalised": normalised}, draw.normal("g", (4,))
    got = complex_step(op, g, arrays, params, "x", np.clongdouble)
    assert_within(got, tracked_vjp(op, g, arrays, params)["x"], PART)


@pytest.mark.parametrize("gamma", [0, 1, 2])
@pytest.mark.parametrize("argument", ["x", "t"])
def test_the_normalised_gradient_of_dense_targets_is_its_complex_step(gamma: int, argument: str) -> None:
    op, draw = OPS["categorical_cross_entropy"], Draw("normalised", "float64")
    arrays = {"x": np.abs(draw.normal("x", (4, 5))), "t": draw.normal("t", (4, 5))}
    params, g = {"alpha": 0.25, "gamma": gamma, **NONE, "normalised": "first"}, draw.normal("g", (4,))
    got = complex_step(op, g, arrays, params, argument, np.clongdouble)
    assert_within(got, tracked_vjp(op, g, arrays, params)[argument], PART)


def test_a_clip_of_dense_targets_stops_the_gradient_for_the_probabilities_alone() -> None:
    op, clip = OPS["categorical_cross_entropy"], {"floor": 0.25, "ceiling": 0.75, "at_clip": 0.5}
    x, t = np.array([[0.125, 0.25, 0.5, 0.75, 1.0, np.nan]]), np.ones((1, 6))
    dx = op.vjp(np.ones(1), None, x, t, **clip)
    assert dx["x"].tolist() == [[0, -2, -2, -0.5 / 0.75, 0, 0]]
    assert np.isnan(op.vjp(np.ones(1), None, x, t, **clip, nan_clip=np.nan)["x"][0]).tolist() == [False] * 5 + [True]
    assert np.array_equal(dx["t"], -np.log([[0.25, 0.25, 0.5, 0.75, 0.75, np.nan]]), equal_nan=True)


def test_a_sigmoid_stays_between_zero_and_one() -> None:
    """It looked as if it did not: 2.67871968e-11 is a small number, not 2.68."""
    s = value(OPS["sigmoid"], {"x": np.linspace(-1000, 1000, 4001)}, {})
    assert ((s >= 0) & (s <= 1)).all()
    x = np.log(L("2.67871968e-11"))
    assert_closed_form("sigmoid", {"x": [x]}, {}, [np.exp(x) / (1 + np.exp(x))])


# --- the ragged centroid loss

CENTROID = OPS["ragged_centroid"]
RAGGED = [case for case in CENTROID.cases if drawn(CENTROID, case)["x"].size <= MOST]
each_ragged = pytest.mark.parametrize("case", RAGGED, ids=lambda case: case.name)


def members(t: Array) -> Iterator[tuple[int, list[int]]]:
    """Each item with each list of positions that share a label."""
    for b in range(len(t)):
        for label in sorted(set(t[b].tolist())):
            yield b, [i for i in range(t.shape[1]) if t[b, i] == label]


def centroid(x: Array, b: int, own: list[int]) -> Array:
    total = 0 * x[b, own[0]]
    for i in own:
        total = total + x[b, i]
    return total / len(own)


def length(d: Array) -> Any:
    return np.sqrt(sum(v * v for v in d))


def double_loop(x: Array, t: Array, delta: Any, over_classes: str) -> tuple[Array, Array, Array]:
    """Losses [B], centroids [B, N, d] and d(sum of losses)/dx, word for word from the definition."""
    loss, centroids, dx = np.zeros(len(x), x.dtype), np.zeros_like(x), np.zeros_like(x)
    for b, own in members(t):
        c = centroid(x, b, own)
        pulls = []
        for i in own:
            r = length(x[b, i] - c)
            h = max(r - delta, x.dtype.type(0))
            loss[b] += h * h / len(own)
            centroids[b, i] = c
            pulls.append(h * (x[b, i] - c) / r if r > 0 else 0 * c)
        for i, pull in zip(own, pulls, strict=True):
            dx[b, i] = 2 * (pull - sum(pulls) / len(own)) / len(own)
    if over_classes == "mean":
        for b, labels in enumerate(t.tolist()):
            loss[b] /= len(set(labels))
            dx[b] /= len(set(labels))
    return loss, centroids, dx


def bounds_of(case: Case, g: Array) -> tuple[Tracked, Tracked, Tracked]:
    arrays, params = as_kind(drawn(CENTROID, case), A), case.params
    with np.errstate(all="ignore"):
        y, c = (A.store(z) for z in CENTROID.forward(**arrays, **params))
        dx = A.store(CENTROID.vjp(A(g), y, **arrays, **params)["x"])
    return y, c, dx


@each_ragged
@pytest.mark.parametrize("kind", [np.float64, np.longdouble])
def test_the_ragged_loss_is_the_double_loop(case: Case, kind: Any) -> None:
    """float64 within the bound: the loop is one more implementation. Long double far within it."""
    arrays = drawn(CENTROID, case)
    delta, over_classes = kind(case.params["delta"]), case.params["over_classes"]
    loss, centroids, dx = double_loop(arrays["x"].astype(kind), arrays["t"], delta, over_classes)
    mean = case.params["reduction"] == "mean"
    items = len(loss)
    with np.errstate(invalid="ignore"):
        y = loss.sum() / items if mean else loss
    want = bounds_of(case, np.ones(np.shape(y)))
    part = 1.0 if kind is np.float64 else PART
    for got, w in zip((y, centroids, dx / items if mean and items else dx), want, strict=True):
        if np.isnan(w.v).any():
            assert np.array_equal(got, w.v, equal_nan=True)
        else:
            assert_within(got, w, part)


def test_the_ragged_cases_hold_every_kind_of_class() -> None:
    """Single members, missing classes, coincident points, delta = 0 and > 0, points within delta, both reductions, of
    items and of classes."""
    arrays = [drawn(CENTROID, case) for case in RAGGED]
    sizes = [len(own) for a in arrays for _, own in members(a["t"])]
    assert {1, 2} <= set(sizes)
    assert any(len(np.unique(a["t"])) < a["t"].max(initial=0) + 1 for a in arrays)
    assert any("coincident" in case.name for case in RAGGED)
    assert {case.params["delta"] > 0 for case in RAGGED} == {True, False}
    assert {case.params["reduction"] for case in RAGGED} == {"none", "mean"}
    assert {case.params["over_classes"] for case in RAGGED} == {"sum", "mean"}
    losses = [value(CENTROID, a, case.params) for a, case in zip(arrays, RAGGED, strict=True)]
    assert any(y.size and (y == 0).all() for y in losses)
    assert any((y > 0).any() for y in losses)


def test_the_mean_of_the_ragged_loss_is_over_items() -> None:
    draw = Draw("mean", "float64")
    arrays = {"x": draw.normal("x", (4, 9, 3)), "t": draw.integers("t", (4, 9), 3)}
    none, mean = (value(CENTROID, arrays, {"delta": 0.25, "reduction": r}) for r in ("none", "mean"))
    assert mean == none.sum() / 4
    each = CENTROID.vjp(np.full(4, 0.25), none, **arrays, delta=0.25, reduction="none")["x"]
    assert np.array_equal(CENTROID.vjp(np.float64(1), mean, **arrays, delta=0.25, reduction="mean")["x"], each)


@pytest.mark.parametrize("delta", [0.0, 0.5])
def test_singletons_and_coincident_points_pull_nothing(delta: float) -> None:
    """Their distance to the centroid is exactly 0: no loss, and a gradient of 0, not NaN."""
    x = np.array([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [5.0, 6.0]]])
    t = np.array([[0, 1, 2, 2]])
    y, c = CENTROID.forward(x, t, delta)
    assert y.tolist() == [0]
    assert np.array_equal(c, x)
    assert not CENTROID.vjp(np.ones(1), y, x, t, delta)["x"].any()


def test_two_points_by_hand() -> None:
    """At distance 5 from the centroid each: loss (5 - delta)^2, the gradient their unit vectors times (5 - delta)."""
    x, t = np.array([[[3.0, 4.0], [-3.0, -4.0]]]), np.array([[7, 7]])
    for delta in (0.0, 1.0, 5.0, 6.0):
        y, c = CENTROID.forward(x, t, delta)
        h = max(5 - delta, 0)
        assert y.tolist() == [h**2]
        assert not c.any()
        dx = tracked_vjp(CENTROID, np.ones(1), {"x": x, "t": t}, {"delta": delta})["x"]
        assert_within(h * x / 5, dx)


@each_ragged
def test_the_ragged_gradient_sums_to_zero_over_a_class(case: Case) -> None:
    """Moving a whole class moves nothing relative to its centroid; with the centroid held constant this fails."""
    arrays = drawn(CENTROID, case)
    g = np.ones(np.shape(value(CENTROID, arrays, case.params)))
    dx = bounds_of(case, g)[2]
    for b, own in members(arrays["t"]):
        assert (np.abs(dx.v[b, own].sum(axis=0)) <= PART * dx.full[b, own].sum(axis=0)).all()


def test_the_ragged_loss_does_not_depend_on_where_it_lies() -> None:
    """Points on a grid of 1/64 moved by 512, exactly, all members of a class averaged exactly: bit for bit."""
    draw = Draw("translation", "float64")
    x = np.round(draw.normal("x", (3, 8, 2)) * 64) / 64
    t = np.tile(np.repeat([0, 1], 4), (3, 1))  # classes of four
    still, moved = (CENTROID.forward(z, t, 0.25) for z in (x, x + 512))
    assert np.array_equal(still[0], moved[0])
    assert np.array_equal(still[1] + 512, moved[1])
    g = draw.normal("g", (3,))
    assert np.array_equal(*(CENTROID.vjp(g, None, z, t, 0.25)["x"] for z in (x, x + 512)))


def test_labels_are_names_and_gaps_between_them_cost_nothing() -> None:
    """Labels up to 999,999 give what 0, 1, 2 give, bit for bit, from as many segments: none is made for a gap."""
    draw = Draw("labels", "float64")
    x, t = draw.normal("x", (4, 30, 3)), draw.integers("t", (4, 30), 3)
    far = np.array([0, 1000, 999_999])[t]
    for y, z in zip(CENTROID.forward(x, t, 0.5), CENTROID.forward(x, far, 0.5), strict=True):
        assert np.array_equal(y, z)
    segments, classes = ragged(far)
    present = sum(len(np.unique(row)) for row in far)
    assert len(segments.sizes) == len(classes.ids) == present
    assert segments.sizes.all()


def test_the_order_of_members_and_of_items_is_free() -> None:
    """Up to the order of summation, for which the bound is made."""
    draw = Draw("order", "float64")
    x, t = draw.normal("x", (3, 12, 2)), draw.integers("t", (3, 12), 3)
    rng = np.random.default_rng(0)
    items, points = rng.permutation(3), rng.permutation(12)
    params = {"delta": 0.25, "reduction": "none"}
    want = tracked_value(CENTROID, {"x": x, "t": t}, params)
    got = value(CENTROID, {"x": x[items][:, points], "t": t[items][:, points]}, params)
    assert_within(got, want[items])


# --- the same lines on every kind of number

NUMBERS: dict[str, Callable[[Array], Any]] = {
    "float64": lambda x: x,
    "longdouble": lambda x: x.astype(np.longdouble),
    "complex128": lambda x: x.astype(np.complex128),
    "tracked": A,
}


@each_op
@pytest.mark.parametrize("kind", NUMBERS)
def test_an_op_runs_on_every_kind_of_number(op: Op, kind: str) -> None:
    """Value and gradient of every small case, of the kind that went in, and the same numbers up to the bound."""
    make = NUMBERS[kind]
    for case in smooth_cases(op):
        arrays = drawn(op, case)
        want = tracked_value(op, arrays, case.params)
        g = cotangent(op, case, want.shape)
        y = value(op, as_kind(arrays, make), case.params)
        with np.errstate(all="ignore"):
            dx = op.vjp(make(g), y, **as_kind(arrays, make), **case.params)
        for got, w in ((y, want), (dx["x"], tracked_vjp(op, g, arrays, case.params)["x"])):
            assert kind_of(got) == kind
            if kind == "complex128":  # NumPy's complex log1p is log|1 + z|: only its imaginary part is accurate
                assert np.isfinite(got).all()
            else:
                assert_within(got.v if kind == "tracked" else got, w)


def kind_of(y: Any) -> str:
    if isinstance(y, Tracked):
        assert y.v.dtype == wide("float64")
        return "tracked"
    return {np.dtype(np.float64): "float64", np.dtype(np.complex128): "complex128"}.get(y.dtype, "longdouble")
