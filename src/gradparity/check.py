"""What an implementation computes, set beside the reference: a row for each case and check."""

from __future__ import annotations

from gradparity.adapter import Adapter, Implementation
from gradparity.invariant import Subject
from gradparity.judge import Run, blank
from gradparity.op import COMPARED, HOW, Case, GradparityError, Op, Result, join, nearest
from gradparity.residual import AdjointRun, InvariantRun
from gradparity.same import SameRun


def check(
    op: Op,
    implementation: Implementation,
    adapter: Adapter,
    dtype: str,
    direction: str,
    cases: tuple[Case, ...] | None = None,
    seed: int = 0,
    explained: bool = True,
) -> list[Result]:
    """Every case of the operation but its edges, or these, in one direction: evaluated in bulk, judged one by one.

    Each case gives a Result for each check of the direction, whatever happens: an exception becomes one too. What a
    violated bound is made of costs a dozen references; explained=False leaves that out of the message.
    Raises GradparityError if the reference or a declaration is at fault, which is nobody's result.
    """
    cases = op.cases if cases is None else cases
    return [
        row
        for run in runs(op, implementation, adapter, dtype, direction, seed, explained)
        for row in run.rows(cases)
    ]  # fmt: skip


def runs(
    op: Op, implementation: Implementation, adapter: Adapter, dtype: str, direction: str, seed: int,
    explained: bool = True,
) -> list[Run]:  # fmt: skip
    """One for a direction that is compared with the reference, one more where forward mode stands beside the gradient;
    one for each invariant and each way to the same."""
    row = blank(op, implementation, adapter, dtype)
    if direction == "same":
        return [SameRun(op, implementation, adapter, dtype, d, seed, row, how=how) for how in HOW for d in COMPARED]
    if direction != "invariant":
        kinds = (Run, AdjointRun) if direction == "jvp" else (Run,)
        return [kind(op, implementation, adapter, dtype, direction, seed, row, explained) for kind in kinds]
    subjects: dict[str, Subject] = {}
    return [
        InvariantRun(op, implementation, adapter, dtype, i.direction, seed, row, explained, invariant=i,
                     subjects=subjects)
        for i in op.invariants
    ]  # fmt: skip


def contributions(
    op: Op, implementation: Implementation, adapter: Adapter, dtype: str, case: Case, name: str, at: tuple[int, ...],
    seed: int = 0,
) -> dict[str, float]:  # fmt: skip
    """What the bound of the check `name` of this case is made of at one element: see Run.contributions."""
    direction = name.partition(".")[0]
    ((uniform, _),) = implementation.by_precision(dtype, (case,))
    for run in runs(op, uniform, adapter, dtype, direction, seed):
        for check_name in run.checks:
            for cotangent in case.cotangents:
                if name == join(check_name, "" if cotangent == case.cotangents[0] else cotangent):
                    return run.contributions(case, cotangent, check_name, at)
    raise GradparityError(nearest(name, op.row_checks(case, direction, dtype), f"check of {op.name}"))
