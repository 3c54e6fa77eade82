"""docs/figures/rooms.svg shows the table of rooms as it is."""

from tests.makers import DOCS, load_maker

maker = load_maker("make_rooms")


def test_the_picture_is_what_the_table_says() -> None:
    drawn = maker.draw(maker.load_table())
    assert maker.FIGURE.read_text(encoding="utf-8") == drawn, "run python docs/make_rooms.py"


def test_every_allowed_import_is_a_dot() -> None:
    allowed = sum(len(may) for rooms in maker.load_table().values() for may in rooms.values())
    assert maker.FIGURE.read_text(encoding="utf-8").count("<circle ") == allowed


def test_the_page_of_the_design_shows_it() -> None:
    assert "(figures/rooms.svg)" in (DOCS / "design.md").read_text(encoding="utf-8")
