"""What is made once: the last of it is kept, as long as there is room."""

from __future__ import annotations

import numpy as np

from gradparity.arithmetic import Arithmetic
from gradparity.cases import groups
from gradparity.memo import Memo
from gradparity.reference import OPS
from gradparity.truth import bytes_of


def test_what_was_made_is_given_again_until_there_is_no_room_and_then_made_anew() -> None:
    made: list[str] = []
    memo = Memo(3.0, len)

    def get(name: str) -> str:
        return memo.get(name[0], lambda: made.append(name) or name)  # type: ignore[func-returns-value]

    assert [get(name) for name in ("a", "b", "a", "c")] == ["a", "b", "a", "c"]
    assert made == ["a", "b", "c"]
    get("d")  # b goes, which was asked for longest ago
    assert (list(memo.entries), memo.held) == (["a", "c", "d"], 3)
    get("b")
    assert made == ["a", "b", "c", "d", "b"]


def test_what_is_larger_than_the_room_is_kept_alone() -> None:
    memo = Memo(3.0, len)
    for name in ("a", "bbbb"):
        assert memo.get(name, lambda name=name: name) == name
    assert (list(memo.entries), memo.held) == (["bbbb"], 4)
    assert memo.get("bbbb", lambda: "another") == "bbbb"
    memo.clear()
    assert (memo.held, memo.get("bbbb", lambda: "another")) == (0, "another")


def test_bytes_are_those_of_the_arrays_and_of_a_group_once() -> None:
    x, op = np.zeros(4, np.float32), OPS["softmax"]
    tracked = Arithmetic("float32")(x)
    (group,) = groups(op, "float32", op.cases[:1], 0, "value")
    of_group = sum(array.nbytes for array in group.arrays.values())
    assert bytes_of((x, {"y": x}, "words")) == 32
    assert bytes_of(tracked) == tracked.v.nbytes + tracked.e.nbytes > 32
    assert (bytes_of([group]), bytes_of((group, {"y": x}))) == (of_group, 16)
