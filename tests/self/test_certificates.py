"""The reference is where ball arithmetic says that the truth is.

Every operation at a few hundred frozen inputs, value and gradient, as certificates/make.py enclosed them once from
textbook formulas. The reference is evaluated as `check` evaluates it: in long double for float64, in float64 for
float32. Its distance from the certified number is at most what the arithmetic charges for the truth's own error, and
a part of the bound so small that no verdict turns on it. Where no long double is longer, the first alone: see
test_without_long_double.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity.arithmetic import Arithmetic, Tracked, size
from gradparity.certificates import NUMBER, Certificate, Certificates, gap, load, rounded
from gradparity.op import FORMATS, Array, Format, GradparityError, Op, join, outputs, wide
from gradparity.reference import OPS
from gradparity.truth import tracked

HERE = Path(__file__).with_name("certificates")
DTYPES = ("float64", "float32")
LOST = 2.0**-45  # of two bounds, in their difference: each is computed in float64, in fewer than 2^8 roundings

each_op = pytest.mark.parametrize("op", OPS.values(), ids=OPS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


@cache
def certificates(op: str) -> Certificates:
    return load(HERE / f"{op}.npz")


def of_dtype(op: Op, dtype: str) -> list[Certificate]:
    return [c for c in certificates(op.name).cases if c.dtype == dtype]


# --- the reference against its certificates


class Free(Arithmetic):
    """The same bounds without what they charge for the truth's own error."""

    own = 0.0


def reference(op: Op, c: Certificate, a: Arithmetic) -> dict[str, Tracked]:
    """Truth and bound of each check, with the default conventions."""
    arguments = tracked(a, c.arrays) | tracked(a, c.params)
    with np.errstate(all="ignore"):
        ys = [a.store(y) for y in outputs(op.forward(**arguments))]
        dx = op.vjp(a(c.g), ys[0], **arguments)
    values = dict(zip(op.checks("value"), ys, strict=True))
    return values | {join("vjp", k): a.store(dx[k]) for k in op.wrt}


def part(dtype: str) -> float:
    """What the wide format's roundings are of those that the bound allows, twice: 2^-10 in long double, 2^-28 below
    float64. In float64 itself they are as large, so a part of the bound says nothing: the truth lies within the bound
    because what is charged for it is in it."""
    return min(1.0, 2 * float(np.finfo(wide(dtype)).eps) * 2.0 ** (FORMATS[dtype].bits - 1))


def near(want: Tracked, free: Tracked, truth: Array, form: Format) -> Array:
    """Where the reference is as near to the truth as it claims to be.

    Where nothing is allowed it is the truth, rounded to the dtype. Elsewhere it is within a part of the bound, and
    within what the arithmetic charges for the truth's own error, but for numbers so small that the bound is that of
    underflow or loses digits to it.
    """
    d, e = gap(want.v, truth), want.full.astype(np.longdouble)
    small = size(want.v) < form.tiny / form.unit
    charged = e - free.full + LOST * e
    return np.where(
        e == 0,
        rounded(truth, np.longdouble).astype(form.dtype) == want.v,
        (d <= part(str(form.dtype)) * e) & ((d <= charged) | small),
    )


def far(op: Op, c: Certificate) -> Iterator[str]:
    """The checks in which the reference is not where the truth is."""
    want, free = (reference(op, c, kind(c.dtype)) for kind in (Arithmetic, Free))
    assert set(c.truth) == set(want)
    for name, truth in c.truth.items():
        assert np.isfinite(want[name].full).all()
        assert truth.shape == want[name].shape
        if not near(want[name], free[name], truth, FORMATS[c.dtype]).all():
            yield name


@each_op
@each_dtype
def test_the_reference_is_as_near_to_the_truth_as_it_claims(op: Op, dtype: str) -> None:
    assert [(c.name, name) for c in of_dtype(op, dtype) for name in far(op, c)] == []


# --- the certificates are what they were, and enough

INPUTS = {
    "softmax": "1dc1fbf0c21d0c8f",
    "log_softmax": "2972d23030529a1e",
    "logsumexp": "cccb1e5bfc0d23d7",
    "cross_entropy": "9bcc017d109a7633",
    "soft_cross_entropy": "1c876fa364edb034",
    "weighted_cross_entropy": "a98b3e5143ca1cb0",
    "sigmoid": "45485496204f986d",
    "log_sigmoid": "2d2674d4051bb1be",
    "hinge": "455c5959667d7d48",
    "squared_hinge": "6c30486b813fe61f",
    "ragged_centroid": "e5c262a17203b3ae",
    "binary_cross_entropy_with_logits": "49c70bf85651cd53",
    "negative_log_likelihood": "2c7c503b6a2111b7",
    "binary_cross_entropy": "9ef2907cc22bcffb",
    "layered_cross_entropy": "cd1b3f9d3a983d63",
    "softmax_regression": "f3fb9e9a3e3956fc",
    "multiclass_hinge": "d5dba603283d1e5c",
    "crammer_singer_hinge": "1604a68734fb559d",
    "hinge_embedding": "f35f361e03af7f89",
    "margin_ranking": "b30cb3b8b2bb1b9a",
    "euclidean_norm": "ec3943376b3cfc4d",
    "pairwise_distance": "17ead5b21c4d9c2c",
    "segment_sum": "1af4088e8bf97904",
    "segment_mean": "ca4ab5048095d9a5",
    "pca": "a755926b44dfa66b",
    "focal_loss": "d482f930684c078e",
    "one_vs_rest": "3b18662629d6ded1",
    "logistic_regression": "62764f8330e61d8b",
    "categorical_hinge": "173a3b713b09379b",
    "multilabel_margin": "a1dd85fd7b41a667",
    "categorical_cross_entropy": "71343d9ce010836c",
    "spatial_cross_entropy": "3c7689b99114b18b",
}  # fmt: skip


@each_op
def test_the_certificates_are_enough_and_their_inputs_do_not_move(op: Op) -> None:
    """A few hundred of each op, in both dtypes, of the inputs that were frozen, known to 100 bits from 200 or more."""
    found = certificates(op.name)
    assert found.inputs[:16] == INPUTS[op.name]
    assert len(found.cases) >= 200
    assert min(len(of_dtype(op, dtype)) for dtype in DTYPES) >= 100
    assert len({(c.name, c.dtype) for c in found.cases}) == len(found.cases)
    assert min(found.about["bits"]) >= 200
    assert found.about["radius"] <= 2.0**-100


def test_every_op_has_certificates_and_no_other_has() -> None:
    assert {path.stem for path in HERE.glob("*.npz")} == set(OPS)


@each_op
def test_the_inputs_are_numbers_of_their_dtype_and_finite(op: Op) -> None:
    for c in certificates(op.name).cases:
        for x in (*c.arrays.values(), c.g, *(v for v in c.params.values() if isinstance(v, float))):
            assert np.isfinite(x).all()
            assert np.asarray(x).dtype.kind == "i" or np.array_equal(np.asarray(x).astype(c.dtype), x)


def test_every_reduction_and_every_kind_of_class_is_certified() -> None:
    assert {c.params["reduction"] for c in certificates("cross_entropy").cases} == {"none", "sum", "mean"}
    ragged = certificates("ragged_centroid").cases
    assert {(c.params["over_classes"], c.params["reduction"]) for c in ragged} == {
        (over, reduction) for over in ("sum", "mean") for reduction in ("none", "mean")
    }
    assert {c.params["delta"] > 0 for c in ragged} == {True, False}
    sizes = {n for c in ragged for row in c.arrays["t"] for n in np.unique(row, return_counts=True)[1].tolist()}
    assert {1, 2, 3} <= sizes
    assert any((c.truth["value"]["hi"] == 0).all() for c in ragged)
    assert any((c.arrays["t"] * c.arrays["x"] == 1).any() for c in certificates("hinge").cases)


# --- what makes these tests fail


def times(y: Any, c: float) -> Any:
    """Tracked arrays, the numbers in them 1 + c times what they were."""
    return tuple(times(part, c) for part in y) if isinstance(y, tuple) else Tracked(y.v + y.v * c, y.e, y.a)


def wrong_value(op: Op, c: float) -> Op:
    return replace(op, forward=lambda **kw: times(op.forward(**kw), c))


def wrong_vjp(op: Op, c: float) -> Op:
    return replace(op, vjp=lambda *a, **kw: {k: times(dx, c) for k, dx in op.vjp(*a, **kw).items()})


# Of pca any element is charged what moves a whole matrix, over a gap.
UNITS = {"pca": 1024}


@each_op
@each_dtype
@pytest.mark.parametrize("wrong", [wrong_value, wrong_vjp])
def test_a_reference_wrong_in_the_last_digits_of_the_wide_format_is_seen(
    op: Op, dtype: str, wrong: Callable[[Op, float], Op]
) -> None:
    """By 64 units of the format that truth is computed in, or UNITS: one part in 10^17 for float64, in 10^14 below."""
    broken = wrong(op, UNITS.get(op.name, 64) * float(np.finfo(wide(dtype)).eps))
    unseen = set(op.checks("value" if wrong is wrong_value else "vjp"))
    for c in of_dtype(op, dtype):
        unseen -= set(far(broken, c)) if unseen else set()
    assert not unseen


@each_op
def test_a_certified_number_with_one_flipped_bit_is_seen(op: Op) -> None:
    """One part in 10^12 or so of one number that is not 0, in the first certificate that has one of each check."""
    c = next(c for c in of_dtype(op, "float64") if all(t["hi"].any() for t in c.truth.values()))
    for name, truth in c.truth.items():
        flipped = truth.copy()
        flipped["hi"].view(np.uint64).reshape(-1)[np.flatnonzero(truth["hi"])[0]] ^= np.uint64(2**12)
        assert list(far(op, replace(c, truth={**c.truth, name: flipped}))) == [name]


def contents(path: Path) -> dict[str, Array]:
    with np.load(path) as file:
        return dict(file)


def missing(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def flip_a_number(path: Path) -> None:
    arrays = contents(path)
    arrays["vjp.x"].view(np.uint8)[-7] ^= 1
    np.savez_compressed(path, **arrays)


def flip_an_input(path: Path) -> None:
    arrays = contents(path)
    arrays["x"].view(np.uint8)[-7] ^= 1
    np.savez_compressed(path, **arrays)


def rename_a_case(path: Path) -> None:
    arrays = contents(path)
    header = json.loads(str(arrays.pop("header")))
    header["cases"][0]["name"] = "another"
    np.savez_compressed(path, header=np.array(json.dumps(header)), **arrays)


def of_another_op(path: Path) -> None:
    path.write_bytes((HERE / "softmax.npz").read_bytes())


DAMAGED = {
    missing: "there are no certificates of sigmoid",
    cut: "is damaged",
    empty: "is damaged",
    flip_a_byte: "is damaged",
    flip_a_number: "is not as it was made",
    flip_an_input: "is not as it was made",
    rename_a_case: "is not as it was made",
    of_another_op: "is not as it was made",
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_certificate_file_that_is_not_as_it_was_made_stops_the_run(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """One line that says what is wrong and which script makes it again; never a pass, never a skip."""
    path = tmp_path / "sigmoid.npz"
    path.write_bytes((HERE / "sigmoid.npz").read_bytes())
    load(path)
    damage(path)
    with pytest.raises(GradparityError, match=f"{DAMAGED[damage]}.*make it with python .*make.py sigmoid"):
        load(path)


# --- how far a number is from a certified one


def number(hi: float, lo: float, k: int) -> Array:
    return np.array((hi, lo, k), NUMBER)


@pytest.mark.parametrize(
    ("got", "truth", "want"),
    [
        (0.5, (0.5, 0.0, 0), 0.0),
        (0.5, (0.5, 2.0**-80, 0), 2.0**-80),
        (-6.0, (-0.75, 0.0, 3), 0.0),
        (1.0, (0.5, -(2.0**-70), 1), 2.0**-69),
        (0.0, (0.5, 0.0, -1000), 2.0**-1001),
        (0.0, (0.0, 0.0, 0), 0.0),
        (0.0, (0.5, 0.0, -20000), 0.0),  # smaller than any long double
        (1.0, (-0.5, 0.0, 1), 2.0),
    ],
)
def test_gap(got: float, truth: tuple[float, float, int], want: float) -> None:
    assert gap(np.longdouble(got), number(*truth)) == want


def test_a_certified_number_is_rounded_once() -> None:
    assert rounded(number(0.5, 2.0**-60, 1), np.float64) == 1.0
    assert rounded(number(0.75, 0.0, -1074), np.float64) == 5e-324
