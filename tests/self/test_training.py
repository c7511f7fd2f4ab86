"""The reference's training, how far from it others may be, and what is not within that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity import training
from gradparity.adapter import Adapter, Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.op import GradparityError
from gradparity.reference import OPS
from gradparity.reference.digits import digits_labels
from gradparity.training import MODELS, ROWS, STEPS, Model, data, parity, reference, scores_of, trained

SMOOTH = ("softmax-regression", "squared-hinge-svm")
each_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
each_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


def by_hand(model: Model, wrong: Any = lambda g: g) -> Adapter:
    """NumPy with a gradient: that of the reference in the dtype, and what is done to it."""

    def value_and_vjp(fn: Any, arrays: Any, wrt: Any, g: Any) -> Any:
        x, w, t = arrays["x"], arrays["w"], arrays["t"]
        op, z = OPS[model.op], x @ w
        y = op.forward(x=z, t=t, **model.params)
        return (y,), {"w": wrong(x.T @ op.vjp(g, y, x=z, t=t, **model.params)["x"])}

    return replace(ADAPTERS[0], value_and_vjp=value_and_vjp)


def found(model: Model, dtype: str, wrong: Any = lambda g: g) -> training.Parity:
    op = OPS[model.op]
    return parity(
        model, trained(model, Implementation(op.name, "mine", op.forward), by_hand(model, wrong), dtype), dtype
    )


@each_model
@each_dtype
def test_an_honest_training_is_within_its_error(model: Model, dtype: str) -> None:
    seen = found(model, dtype)
    assert seen.holds
    assert seen.ties <= 15


WRONG = {
    "a part in a million": lambda g: g * g.dtype.type(1 + 1e-6),
    "not divided by the rows": lambda g: g * g.dtype.type(ROWS),
    "the other way": lambda g: -g,
    "cast down and back": lambda g: g.astype(np.float32).astype(g.dtype),
    "of the next class": lambda g: np.roll(g, 1, axis=1),
}


@each_model
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_gradient_is_seen(model: Model, name: str) -> None:
    """In float64; the gradient of the hinges is exact in float32, so that casting it down changes nothing."""
    seen = found(model, "float64", WRONG[name])
    assert seen.holds == (model.name == "hinge-svm" and name == "cast down and back")


@pytest.mark.parametrize("name", SMOOTH)
def test_a_gradient_that_is_wrong_by_a_hundredth_is_seen_in_float32(name: str) -> None:
    assert not found(MODELS[name], "float32", lambda g: g * g.dtype.type(1.01)).holds


@each_model
@each_dtype
def test_the_error_is_stated_and_small(model: Model, dtype: str) -> None:
    """In parts of the weights; all 300 steps but for the hinge in float32, where a margin comes near to the kink."""
    curve = reference(model.name, dtype)
    size = np.linalg.norm(curve.weights.astype(float))
    assert 0 < curve.error < {"float64": 1e-11, "float32": 1e-2}[dtype] * size
    assert np.isfinite(curve.loss_errors).all()
    assert len(curve.losses) == (STEPS if (model.name, dtype) != ("hinge-svm", "float32") else HINGE_STEPS)


HINGE_STEPS = 12


@pytest.mark.parametrize(("name", "loss", "right"), [
    ("softmax-regression", 0.4198, 1109), ("squared-hinge-svm", 0.8951, 1114), ("hinge-svm", 0.6873, 1096),
])  # fmt: skip
def test_it_learns(name: str, loss: float, right: int) -> None:
    """Of 1,285 digits that it was not trained on so many are right."""
    curve = reference(name, "float64")
    assert round(curve.losses[-1], 4) == loss
    assert np.sum(np.argmax(scores_of(MODELS[name], curve), axis=-1) == digits_labels()[ROWS:]) == right


def test_one_against_the_rest_beside_softmax() -> None:
    """What the two predict: the same for so many of the 1,285 digits, in both dtypes and so in every framework, but for
    those whose best scores nearly tie."""
    for dtype in ("float64", "float32"):
        one, rest = (np.argmax(scores_of(MODELS[name], reference(name, dtype)), axis=-1) for name in SMOOTH)
        assert np.sum(one == rest) == 1244


def test_weights_are_zero_at_the_start_and_all_classes_alike() -> None:
    assert reference("softmax-regression", "float64").losses[0] == pytest.approx(np.log(10), rel=0, abs=1e-15)
    assert reference("hinge-svm", "float64").losses[0] == 10


def test_the_data_are_exact_in_every_dtype() -> None:
    for name in MODELS:
        for dtype in ("float32", "bfloat16", "float16"):
            for wide, narrow in zip(data(MODELS[name], "float64"), data(MODELS[name], dtype), strict=True):
                assert np.array_equal(wide, narrow.astype(wide.dtype))


def test_a_step_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "long", replace(MODELS["softmax-regression"], name="long", step=1.0))
    with pytest.raises(GradparityError, match="the step of long is too long for its error to be bounded"):
        reference("long", "float32")


def test_another_prediction_is_seen_unless_the_scores_nearly_tie() -> None:
    model = MODELS["softmax-regression"]
    curve = reference(model.name, "float64")
    turned = replace(curve, weights=np.roll(curve.weights, 1, axis=1))
    seen = parity(model, turned, "float64")
    assert not seen.holds
    assert seen.predictions > 1000
