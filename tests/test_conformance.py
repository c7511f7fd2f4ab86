"""Every implementation, in every mode and dtype, value and gradient against the reference, and invariants.

One test is one direction of one implementation: its cases are stacked, evaluated in a few calls and judged one by
one. `-k "cross_entropy and jit and vjp"` selects by words, `--select` by row identity.
"""

from collections.abc import Callable

from gradparity.catalogue import Item


def test_conforms(conformance_item: Item, conforms: Callable[[Item], None]) -> None:
    conforms(conformance_item)
