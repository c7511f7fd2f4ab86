"""The kill matrix and the detection floor as text: pure functions of cells and floors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from textwrap import wrap

from gradparity.mutation import Cell, Floor
from gradparity.op import COMPARED, FORMATS
from gradparity.page import Chapter, Table

SHORT = {"float64": "f64", "float32": "f32", "bfloat16": "b16", "float16": "f16", "value": "v", "vjp": "g"}
LEGEND = (
    "v value, g gradient: the number of cases that kill; = lives, as declared; ! not as declared. "
    "factor: error / bound where the row is killed most narrowly; first: the first case that kills it there."
)
FLOOR_LEGEND = "The smallest k for which correct * (1 + 2^k u) is caught, u of the dtype."
MEANING = """\
Each row is a wrong implementation, judged by the same cases, bounds and checks as a framework. A cell is the number of
cases that kill it, and its largest error in units of the bound (inf: nothing is allowed there, or there is nothing to
compare); "lives" if no case does. The last two columns say where the row is killed most narrowly: that factor, and the
first case. In 16 bits an implementation computes in float32 and rounds once, and is judged by class A."""
FLOOR_MEANING = """\
The smallest relative error 2^k u of every element that is caught, and k. In 16 bits the error is made before the one
rounding, and less than u is seen where a result lies near to a midpoint."""
NOT_MEASURED = "It was not measured for this page: gradparity report --floor does it."
CLASS_B = """\
Class B lets every operation round to the dtype, and {within} cells that class A kills are within its bounds. Counting
the results that are not the nearest number (`<check>.misrounded`, beside the share of the right implementation) kills
{dead} of them."""
STILL_LIVE = "These live"
BY_SHARE = "These die by their share of misrounded results alone"
BEYOND = "These too, which are within the bounds of class A"

Line = list[str]
Place = tuple[str, str]


def summary(cells: Sequence[Cell]) -> str:
    mutants = {cell.mutant.id for cell in cells}
    killed = sum(bool(cell.killers) for cell in cells)
    wrong = len(undeclared(cells))
    verdict = f"{wrong} NOT AS DECLARED" if wrong else "all as declared"
    return f"{len(mutants)} mutants, {len(cells)} cells: {killed} killed, {len(cells) - killed} live; {verdict}"


def undeclared(cells: Sequence[Cell]) -> list[Cell]:
    return [cell for cell in cells if not cell.as_declared]


def places(cells: Sequence[Cell | Floor]) -> list[Place]:
    dtypes = {cell.dtype for cell in cells}
    return [(dtype, direction) for dtype in FORMATS if dtype in dtypes for direction in COMPARED]


def by_op(cells: Sequence[Cell]) -> Iterator[tuple[str, int, dict[str, list[Cell]]]]:
    """Each operation, its number of cases, and the cells of each of its mutants."""
    for op, own in groupby(cells, key=lambda cell: cell.mutant.op):
        rows: dict[str, list[Cell]] = {}
        for cell in own:
            rows.setdefault(cell.mutant.name, []).append(cell)
        yield op, cell.cases, rows


def matrix_lines(rows: dict[str, list[Cell]], where: list[Place], show: Callable[[Cell], str]) -> Iterator[Line]:
    """A line for each mutant: its name, its cells, and where it is killed most narrowly."""
    for name, cells in rows.items():
        shown = {(cell.dtype, cell.direction): show(cell) for cell in cells}
        yield [name, *(shown.get(place, "") for place in where), *narrowest(cells)]


def narrowest(cells: list[Cell]) -> Line:
    killed = [cell for cell in cells if cell.killers]
    if not killed:
        return ["", ""]
    cell = min(killed, key=lambda cell: cell.factor)
    return [number(cell.factor), cell.killers[0].case]


def number(x: float) -> str:
    return f"{x:.3g}" if x < 1000 else f"{x:.0e}".replace("e+", "e")


def brief(cell: Cell) -> str:
    return "!" if not cell.as_declared else str(cell.killed_by) if cell.killers else "="


def full(cell: Cell) -> str:
    """With the largest factor."""
    return f"{cell.killed_by if cell.killers else 'lives'} ({number(cell.factor)})"


def floor_lines(floors: Sequence[Floor], show: Callable[[Floor], str]) -> Iterator[Line]:
    for op, own in groupby(floors, key=lambda floor: floor.op):
        yield [op, *map(show, own)]


def proofs(cells: Sequence[Cell]) -> Iterator[tuple[str, list[str]]]:
    """Each proof, and what lives by it."""
    live = [cell for cell in cells if cell.proof and not cell.killers]
    for proof in dict.fromkeys(cell.proof for cell in live):
        yield proof, list(by_mutant([cell for cell in live if cell.proof == proof]))


def by_mutant(cells: Sequence[Cell]) -> Iterator[str]:
    """Each mutant, and in which dtypes and directions."""
    for name in dict.fromkeys(cell.mutant.id for cell in cells):
        where = (f"{SHORT[cell.dtype]} {SHORT[cell.direction]}" for cell in cells if cell.mutant.id == name)
        yield f"{name}: {', '.join(where)}"


def class_b(cells: Sequence[Cell], wider: Sequence[Cell]) -> dict[str, list[Cell]]:
    """What is within the bounds of class B: what lives, and what only the share of misrounded results kills."""
    killed = {(cell.mutant, cell.dtype, cell.direction) for cell in cells if cell.killers}
    in_a = {cell: (cell.mutant, cell.dtype, cell.direction) in killed for cell in wider}
    return {
        STILL_LIVE: [cell for cell in wider if in_a[cell] and not cell.killers],
        BY_SHARE: [cell for cell in wider if in_a[cell] and cell.by_share_alone],
        BEYOND: [cell for cell in wider if not in_a[cell] and cell.by_share_alone],
    }


def class_b_words(found: dict[str, list[Cell]]) -> str:
    live, dead = len(found[STILL_LIVE]), len(found[BY_SHARE])
    return CLASS_B.format(within=live + dead, dead=dead)


# --- on a terminal


def text(cells: Sequence[Cell], wider: Sequence[Cell], floors: Sequence[Floor], width: int) -> Iterator[str]:
    where = places(cells)
    for op, cases, rows in by_op(cells):
        heads = two_heads(where, [op, f"({cases} cases)"], ["factor", "first"])
        yield from text_table([*heads, *matrix_lines(rows, where, brief)], width)
    yield from (*wrap(LEGEND, width), "")
    found = class_b(cells, wider)
    if any(found.values()):
        yield from (*wrap(class_b_words(found), width), "")
    for words, some in found.items():
        if some:
            yield from (f"{words}:", *(f"  {name}" for name in by_mutant(some)), "")
    if floors:
        ks = ([*line, ""] for line in floor_lines(floors, lambda floor: str(floor.k)))
        yield from text_table([*two_heads(where, ["detection floor", ""], [""]), *ks], width)
        yield from (*wrap(FLOOR_LEGEND, width), "")
    for cell in undeclared(cells):
        yield from (*wrap(f"! {cell}", width), "")
    yield summary(cells)


def two_heads(where: list[Place], names: Line, more: Line) -> list[Line]:
    """The dtypes, and below them the directions."""
    dtypes = [SHORT[dtype] if direction == "value" else "" for dtype, direction in where]
    return [[names[0], *dtypes, *("" for _ in more)], [names[1], *(SHORT[d] for _, d in where), *more]]


def text_table(lines: Sequence[Line], width: int) -> Iterator[str]:
    """Names to the left, numbers to the right, and the last column as long as there is room."""
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    for name, *numbers, last in lines:
        words = [f"{name:{widths[0]}}", *(f"{n:>{w}}" for n, w in zip(numbers, widths[1:], strict=False)), last]
        yield " ".join(words)[:width].rstrip()
    yield ""


# --- as Markdown


def markdown(cells: Sequence[Cell], wider: Sequence[Cell], floors: Sequence[Floor]) -> Iterator[str]:
    where = places(cells)
    heads = headings(where)
    yield from ("# What the checks catch", "")
    yield from ("Generated: `gradparity mutants --format markdown > docs/mutants.md`", "", MEANING, "")
    yield from (f"{summary(cells)}.", "")
    for op, cases, rows in by_op(cells):
        yield from (f"## {op}: {cases} cases", "")
        yield from markdown_table(["defect", *heads, "factor", "first"], matrix_lines(rows, where, full))
    yield from ("## What lives, and why", "")
    for proof, names in proofs(cells):
        yield from (f"Because {proof}:", "", *(f"- {name}" for name in names), "")
    found = class_b(cells, wider)
    yield from ("## Class B", "", class_b_words(found), "")
    for words, some in found.items():
        yield from (f"{words}:", "", *(f"- {name}" for name in by_mutant(some)), "")
    yield from ("## Detection floor", "", FLOOR_MEANING, "")
    yield from markdown_table(["operation", *heads], floor_lines(floors, relative))


def headings(where: list[Place]) -> Line:
    return [f"{dtype} {'gradient' if direction == 'vjp' else direction}" for dtype, direction in where]


def relative(floor: Floor) -> str:
    return f"{floor.relative:.1e} ({floor.k})"


# --- on a page


def chapter(floors: Sequence[Floor]) -> Chapter:
    if not floors:
        return Chapter("Detection floor", f"{FLOOR_MEANING} {NOT_MEASURED}", [])
    table = Table("", ["operation", *headings(places(floors))], list(floor_lines(floors, relative)))
    return Chapter("Detection floor", FLOOR_MEANING, [table])


def markdown_table(heads: Line, lines: Iterator[Line]) -> Iterator[str]:
    for line in (heads, ["---"] * len(heads), *lines):
        yield "| " + " | ".join(line) + " |"
    yield ""
