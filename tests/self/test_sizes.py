"""Cases of drawn sizes: what the design covers, and that they find what is wrong at one size alone."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gradparity.adapter import Implementation
from gradparity.adapters.numpy import ADAPTERS
from gradparity.cases import Draw, groups
from gradparity.check import check
from gradparity.op import FORMATS, Array, Op
from gradparity.reference import OPS
from gradparity.reference.sizes import ELEMENTS, FEW, PAIRS, ROWS, SIZES, TRAILING, dealt

NUMPY = next(adapter for adapter in ADAPTERS if adapter.default)
WITHOUT = {"pca": "the truth of its cases is certified, so that none can be drawn"}
DRAWN = [op for op in OPS.values() if op.name in SIZES]


def test_every_operation_has_sizes_or_says_why_not() -> None:
    assert set(OPS) == set(SIZES) | set(WITHOUT)
    assert {op.name for op in OPS.values() if not op.sized("float32", 0)} == set(WITHOUT)


def test_every_dtype_is_in_one_of_the_pairs() -> None:
    assert sorted(dtype for pair in PAIRS for dtype in pair) == sorted(FORMATS)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("pair", PAIRS)
def test_every_length_is_met_in_both_dtypes_and_every_number_of_rows_in_one(pair: tuple[str, str], seed: int) -> None:
    met = list(dealt(Draw("softmax/sizes", "float64", seed), max(TRAILING), pair))
    assert sorted({(c, dtype) for _, c, dtype in met}) == sorted(product(TRAILING, pair))
    assert {rows for rows, _, _ in met} == set(ROWS)
    assert max(rows * c for rows, c, _ in met if c > FEW) <= ELEMENTS


@pytest.mark.parametrize("op", DRAWN, ids=lambda op: op.name)
def test_sizes_are_drawn_by_the_seed_and_each_is_judged_alone(op: Op) -> None:
    for dtype in FORMATS:
        cases = op.sized(dtype, 0)
        assert [case.name for case in cases] == [case.name for case in op.sized(dtype, 0)]
        assert [case.name for case in cases] != [case.name for case in op.sized(dtype, 1)]
        assert len({case.name for case in cases}) == len(cases)
        small = tuple(case for case in cases if case.arrays(Draw(case.name, dtype))["x"].size < 5000)
        every = groups(op, dtype, (*op.cases[:3], *small), 0, "value")
        assert all(len(group.cases) == 1 for group in every if group.cases[0] in small)


@pytest.mark.parametrize("name", ["softmax", "sigmoid"])
def test_every_rank_is_met(name: str) -> None:
    shapes = {case.arrays(Draw(case.name, dtype))["x"].shape for dtype in FORMATS for case in OPS[name].sized(dtype, 0)}
    assert {len(shape) for shape in shapes} == {1, 2, 3, 4, 5}


def test_axes_are_met_wherever_they_are() -> None:
    cases = [case for dtype in FORMATS for case in OPS["softmax"].sized(dtype, 0)]
    assert {name[:6] for case in cases if (name := case.name).startswith("axis-")} == {f"axis-{k}" for k in range(4)}
    assert any(case.params["axis"] < -1 for case in cases)


@pytest.mark.parametrize(("name", "parameter", "mark"), [
    ("binary_cross_entropy_with_logits", "pos_weight", "pos-weight"), ("focal_loss", "alpha", "alpha"),
    ("soft_cross_entropy", "label_smoothing", "smoothed"), ("categorical_cross_entropy", "gamma", "gamma"),
])  # fmt: skip
def test_a_name_says_what_some_functions_do_not_offer(name: str, parameter: str, mark: str) -> None:
    """As TensorFlow's binary cross-entropy has no weight: it says so of the names that hold these words."""
    op = OPS[name]
    cases = [case for dtype in FORMATS for case in op.sized(dtype, 0)]
    usual = op.cases[0].params[parameter]
    marked = {case.name for case in cases if mark in case.name}
    assert marked == {case.name for case in cases if case.params[parameter] != usual}
    assert 0 < len(marked) < len(cases)


@pytest.mark.parametrize(("wrong_at", "length"), [("trailing", 129), ("rows", 2**15 + 1)])
def test_what_is_wrong_at_one_size_alone_is_found_there(wrong_at: str, length: int) -> None:
    """As where a vectorised loop forgets its remainder: no other case sees it."""
    op = OPS["hinge"]

    def wrong(x: Array, t: Array) -> Array:
        y = np.maximum(0, 1 - t * x)
        return y * (length not in x.shape)

    own = Implementation("hinge", "hinge", fn=wrong)
    assert not any(row.bad for d in FORMATS for row in check(op, own, NUMPY, d, "value"))
    failed = {
        row.case for d in FORMATS for row in check(op, own, NUMPY, d, "value", op.sized(d, 0)) if row.status == "fail"
    }
    assert failed
    assert all(str(length) in name.rpartition("size-")[2].removesuffix("-flat").split("x") for name in failed)
