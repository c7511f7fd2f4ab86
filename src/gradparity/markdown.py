"""Text of any origin in Markdown, where nothing of it is markup."""

from __future__ import annotations

import re
from collections.abc import Iterator


def code(words: str) -> str:
    """A code span, also in a cell: nothing in it ends the span or the cell."""
    return f"`{words.replace('`', chr(39)).replace('|', '¦')}`" if words.strip() else "-"


def fenced(text: str, language: str) -> Iterator[str]:
    """A block of code, in a fence that is longer than any in it."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`+", text))])
    yield f"{fence}{language}"
    yield text
    yield fence
