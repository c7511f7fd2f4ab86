"""Real data: the 1,797 handwritten digits of scikit-learn, and the logits of a softmax classifier on them.

digits.npz is made by benchmarks/make_digits.py: pixels from 0 to 16, the true labels, the logits rounded to float16.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from gradparity.cases import Draw
from gradparity.op import Array


@cache
def data() -> dict[str, Any]:
    with np.load(Path(__file__).with_name("digits.npz")) as file:
        return dict(file)


def digits_logits(draw: Draw) -> Array:
    """[1797, 10] logits."""
    return draw.quantised(data()["logits"])


def digits_labels() -> Array:
    """[1797] labels, int64."""
    return data()["labels"].astype(np.int64)


def digits_images(draw: Draw, count: int) -> Array:
    """[count, 64] pixels in [0, 1], exact in every dtype."""
    return draw.quantised(data()["images"][:count] / 16)
