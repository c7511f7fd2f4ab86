"""What was made is made once, as long as there is room for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass
class Memo:
    """What was made or asked for last, of as many bytes as `most`; one entry at least. size(made): the bytes of one."""

    most: float
    size: Callable[[Any], float]
    held: float = 0.0
    entries: OrderedDict[Any, tuple[Any, float]] = field(default_factory=OrderedDict)

    def get(self, key: Any, make: Callable[[], T]) -> T:
        if key not in self.entries:
            made = make()
            self.entries[key] = made, self.size(made)
            self.held += self.entries[key][1]
            while self.held > self.most and len(self.entries) > 1:
                self.held -= self.entries.popitem(last=False)[1][1]
        self.entries.move_to_end(key)
        found: T = self.entries[key][0]
        return found

    def clear(self) -> None:
        self.entries.clear()
        self.held = 0.0
