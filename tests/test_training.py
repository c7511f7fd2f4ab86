"""Training parity: gradient descent on real data stays as near to the reference's as its error may have grown.

Every framework and mode, with its first function of the operation, in float64 and float32: the loss of each step, the
last weights, and what they predict. What is propagated, and the proof, is in gradparity/training.py.
"""

import pytest

from gradparity.adapter import Adapter
from gradparity.op import UnsupportedError
from gradparity.plugin import PLAN
from gradparity.training import MODELS, Model, parity, trained

DTYPES = ("float64", "float32")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The adapters that are selected and share this process; NumPy differentiates nothing."""
    plan = metafunc.config.stash[PLAN]
    chosen = [
        (adapter, model, dtype)
        for adapter in plan.profile[1] if adapter.framework != "numpy"
        for model in MODELS.values() if plan.selection.takes("op", model.op)
        and any(i.op == model.op for i in adapter.implementations)
        for dtype in DTYPES if plan.selection.takes("dtype", dtype)
    ]  # fmt: skip
    names = [f"{adapter.framework}-{adapter.mode}-{model.name}-{dtype}" for adapter, model, dtype in chosen]
    metafunc.parametrize(("adapter", "model", "dtype"), chosen, ids=names)


def test_training(adapter: Adapter, model: Model, dtype: str) -> None:
    first = next(i for i in adapter.implementations if i.op == model.op)
    try:
        found = parity(model, trained(model, first, adapter, dtype), dtype)
    except UnsupportedError as error:
        pytest.xfail(f"unsupported: {error}")
    assert found.holds, f"{first.api} on {adapter.framework} {adapter.version}: {found}"
