"""The share of results that are not the nearest number of a 16-bit dtype, and what was recorded of it.

A bound that lets every operation round to 16 bits (class B) lets pass an exponential that is wrong by 1e-3. The number
of results that are not the correctly rounded truth gives it away: a systematic error moves many of them, each by one
unit in the last place. What share an implementation has is a fact about it that no analysis gives, so it is recorded,
by benchmarks/misrounded.py, with the version it was seen in.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gradparity.arithmetic import fl, size
from gradparity.environment import processor
from gradparity.op import FORMATS, Array, GradparityError, Result

SIGMAS = 5
MANY = 50  # expected misrounded results


@dataclass(frozen=True)
class Baseline:
    """The largest share that a row may have, by row identity, as recorded with this version of the framework, on this
    kind of processor, in this file. No version, no processor: whatever it is."""

    version: str = ""
    shares: Mapping[str, float] = field(default_factory=dict)
    path: Path = Path()
    processor: str = ""

    def elsewhere(self, version: str) -> str:
        """What it was recorded with and on, if that is not this; kernels are other ones where vectors are wider."""
        if self.version in ("", version) and self.processor in ("", processor()):
            return ""
        return (
            f"recorded with {self.version} on {self.processor or 'any processor'}, this is {version} on {processor()}"
        )

    def write(self) -> None:
        """Into its file, beside what is recorded there on other processors."""
        records = {b.processor: {"version": b.version, "shares": b.shares} for b in (*read(self.path), self)}
        self.path.write_text(json.dumps(records, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def recorded(adapter_file: str) -> Baseline:
    """What stands beside an adapter module, of this kind of processor, or of another if there is none of this; nothing
    if there is no such file, and then no row of it can pass."""
    path = Path(adapter_file).with_suffix(".misrounded.json")
    found = read(path)
    here = [baseline for baseline in found if baseline.processor == processor()]
    return next(iter(here or found), Baseline(path=path))


def read(path: Path) -> list[Baseline]:
    """The records of a file, of one processor each; none if there is no such file."""
    if not path.exists():
        return []
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
        found = [Baseline(**record, processor=name, path=path) for name, record in records.items()]
        wrong = [name for baseline in found for name, share in baseline.shares.items() if not 0 < share < 1]
    except (ValueError, TypeError, AttributeError) as error:
        raise GradparityError(f"{path} is no record of shares, benchmarks/misrounded.py writes it: {error}") from None
    if wrong:
        raise GradparityError(f"{path}: the share of {wrong[0]} is not between 0 and 1")
    return found


def misrounded(got: Array, want: Array, dtype: str) -> tuple[int, int]:
    """How many are not the nearest number of the dtype to `want`, and how many were looked at: where that is a normal
    number, so neither 0, which may be exact, nor subnormal, which may be flushed, nor infinite or NaN."""
    form = FORMATS[dtype]
    with np.errstate(all="ignore"):
        nearest = fl(want, form)
        judged = (size(nearest) >= form.tiny) & (size(nearest) <= form.max)
        return int(np.sum(judged & (got.astype(nearest.dtype) != nearest))), int(np.sum(judged))


def sample(row: Result) -> tuple[int, int]:
    """The same of a row that was counted, whether its share is recorded or not."""
    count, judged = map(int, row.got.split(" of "))
    return count, judged


def allowed(samples: Sequence[tuple[int, int]]) -> float:
    """A share that another sample will not exceed: (misrounded, looked at) for each seed -> the largest share seen, and
    5 standard deviations.

    Were the results independent, the deviation of a share p of n would be that of the binomial distribution,
    sqrt(p (1 - p) / n); p as estimated by (k + 1) / (N + 1) of all samples, so that it is not 0. The results of one row
    of a softmax share their sum and move together: where the seeds vary more, it is that. Small counts are not normally
    distributed: at least as many are allowed as the binomial distribution itself gives with the same probability.
    """
    shares = [k / n for k, n in samples]
    p, fewest = (sum(k for k, _ in samples) + 1) / (sum(n for _, n in samples) + 1), min(n for _, n in samples)
    binomial = math.sqrt(p * (1 - p) / fewest)
    spread = SIGMAS * max(binomial, statistics.stdev(shares) if len(shares) > 1 else 0.0)
    return max(max(shares) + spread, (quantile(fewest, p) + 0.5) / fewest)


def quantile(n: int, p: float) -> int:
    """The least k that a binomial count exceeds with no more than the probability of 5 standard deviations; 0 where so
    many are expected that the normal distribution gives as much."""
    if n * p > MANY:
        return 0
    tail, k = 1 - statistics.NormalDist().cdf(SIGMAS), 0
    below = term = (1 - p) ** n
    while 1 - below > tail and k < n:
        k += 1
        term *= (n - k + 1) / k * p / (1 - p)
        below += term
    return k
