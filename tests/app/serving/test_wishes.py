"""Wishes: the newest command for a model decides, or for one version of it."""

from app.serving.wishes import Target, Wishes


def test_without_a_command_nothing_is_wished() -> None:
    assert (Wishes().wants("a", 1), Wishes().number) == (None, 0)


def test_the_newest_command_that_covers_a_version_decides() -> None:
    wishes = Wishes().add("unload", Target("a")).add("load", Target("a", 2))
    assert [wishes.wants("a", version) for version in (1, 2)] == [False, True]
    assert wishes.wants("b", 1) is None
    assert wishes.add("unload", Target("a")).wants("a", 2) is False


def test_a_command_for_a_model_makes_those_for_its_versions_forgotten() -> None:
    wishes = Wishes().add("load", Target("a", 1)).add("load", Target("b")).add("load", Target("a"))
    assert set(wishes.commands) == {Target("b"), Target("a")}
    assert wishes.number == 3


def test_the_targets_since_a_command_are_those_to_look_at() -> None:
    wishes = Wishes().add("load", Target("a", 1)).add("unload", Target("b"))
    assert list(wishes.since(1)) == [Target("b")]
    assert [str(target) for target in wishes.since(0)] == ["a/1", "b"]
