"""Draws rooms.toml, the rooms and who may import whom: python docs/make_rooms.py"""

import ast
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
FIGURE = DOCS / "figures" / "rooms.svg"

ROW, BOX, WORDS, CELL = 30, 120, 520, 26
"""Height of a row; widths of a room's box, of what it is, and of a column of the grid."""
LEFT, FOOT = 16, 26
HEAD, BARE_HEAD = 92, 40
"""Heights above a block's rooms, with the grid's names and without."""
COLOURS = {
    "models": "#4477aa",
    "client": "#aa3377",
    "app": "#228833",
    "training": "#ee6677",
    "deploy": "#ccbb44",
}
"""Of the packages: Paul Tol's bright scheme, told apart by the colour-blind too."""


def draw(table: Mapping[str, Mapping[str, list[str]]]) -> str:
    """The table as SVG: a block per package, a row per room, a dot for each allowed import."""
    blocks: list[str] = []
    y, width = 10, 0
    for package in ("deploy", "app", "client", "training", "models"):
        rooms = table[package]
        columns = [*(order(rooms) if len(rooms) > 1 else []), *outside(package, table)]
        blocks += block(package, rooms, columns, y=y)
        y += (HEAD if columns else BARE_HEAD) + len(rooms) * ROW + FOOT
        width = max(width, LEFT + BOX + WORDS + len(columns) * CELL + 60)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" '
        'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head, *blocks, "</svg>"]) + "\n"


def block(
    package: str, rooms: Mapping[str, list[str]], columns: list[str], *, y: int
) -> Iterator[str]:
    """One package: its rooms from the top down, each above those that it may import."""
    head = HEAD if columns else BARE_HEAD
    yield text(LEFT, y + head - 14, f"{package}/", size=18, bold=True)
    grid = LEFT + BOX + WORDS
    if columns:
        yield text(grid, y + 12, "may import", colour="#555")
    for i, other in enumerate(columns):
        x = grid + i * CELL + CELL // 2
        yield (
            f'<text transform="translate({x - 2} {y + head - 8}) rotate(-50)" '
            f'fill="{colour_of(other)}">{escape(short(other, package))}</text>'
        )
    for j, room in enumerate(order(rooms)):
        top = y + head + j * ROW
        middle = top + ROW // 2
        yield (
            f'<rect x="{LEFT}" y="{top + 2}" width="{BOX - 10}" height="{ROW - 5}" rx="5" '
            f'fill="{COLOURS[package]}"/>'
        )
        yield text(LEFT + 8, middle + 4, short(room, package), colour="white", bold=True)
        yield text(LEFT + BOX, middle + 4, purpose(room))
        yield f'<path d="M{LEFT} {top + ROW}H{grid + len(columns) * CELL}" stroke="#ddd"/>'
        for i, other in enumerate(columns):
            if other in rooms[room]:
                yield (
                    f'<circle cx="{grid + i * CELL + CELL // 2}" cy="{middle}" r="6" '
                    f'fill="{colour_of(other)}"><title>{escape(room)} may import {escape(other)}'
                    "</title></circle>"
                )


def text(
    x: int, y: int, words: str, *, colour: str = "black", size: int = 13, bold: bool = False
) -> str:
    """A line of text."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x}" y="{y}" fill="{colour}" font-size="{size}"{weight}>{escape(words)}</text>'
    )


def outside(package: str, table: Mapping[str, Mapping[str, list[str]]]) -> list[str]:
    """Rooms of other packages that this one may import, in their own order."""
    wanted = {other for may in table[package].values() for other in may} - table[package].keys()
    return [room for rooms in table.values() for room in order(rooms) if room in wanted]


def order(rooms: Mapping[str, list[str]]) -> list[str]:
    """The rooms so that each stands above those that it may import."""
    own = {room: [other for other in may if other in rooms] for room, may in rooms.items()}
    return list(reversed(list(TopologicalSorter(own).static_order())))


def short(room: str, package: str) -> str:
    """A room's name, without the package that it is drawn in."""
    return room.removeprefix(f"{package}.")


def colour_of(room: str) -> str:
    """The colour of a room's package."""
    return COLOURS.get(room.partition(".")[0], COLOURS["client"])


def purpose(room: str) -> str:
    """The first sentence of a room's docstring."""
    path = DOCS.parent.joinpath(*room.split("."))
    if room == "vae_client":
        path = DOCS.parent / "client" / room
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    words = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return words.split("\n")[0]


def load_table() -> dict[str, dict[str, list[str]]]:
    """rooms.toml without the ground, which every room may import, and without entry points."""
    table = tomllib.loads((DOCS / "rooms.toml").read_text(encoding="utf-8"))
    return {
        package: {room: may for room, may in rooms.items() if not room.endswith("__main__")}
        for package, rooms in table.items()
        if package != "ground"
    }


if __name__ == "__main__":
    FIGURE.write_text(draw(load_table()), encoding="utf-8")
