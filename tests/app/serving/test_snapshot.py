"""What a snapshot says of the models that are not served."""

from app.serving.snapshot import BrokenBundle, ModelState, Snapshot


def test_a_snapshot_says_what_is_broken_or_waits() -> None:
    snapshot = Snapshot(
        broken=(BrokenBundle("a", 1, "damaged"),),
        waiting={("b", 1): "unloaded", ("a", 2): "loading"},
    )
    assert snapshot.is_broken("a")
    assert snapshot.is_broken("a", 1)
    assert not snapshot.is_broken("a", 2)
    assert snapshot.waits("b", "unloaded", 1)
    assert not snapshot.waits("b", "loading")
    assert list(snapshot.states()) == [
        ModelState("a", 2, "loading"),
        ModelState("b", 1, "unloaded"),
        ModelState("a", 1, "broken", "damaged"),
    ]
