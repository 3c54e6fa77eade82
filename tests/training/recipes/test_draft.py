"""A draft keeps what was asked for, fills what was not, and notes why."""

import pytest

from models.errors import ConfigError
from training.recipes.draft import Draft, Reason

WHY = Reason("size", "3x3", "it is")


def test_only_what_is_not_set_is_filled_at_any_depth():
    draft = Draft({"vae": {"encoder": {"dropout": 0.3}}})
    assert draft.fill({"vae": {"encoder": {"kind": "mlp", "dropout": 0.1}, "latent_shape": [2]}})
    assert draft.values["vae"] == {
        "encoder": {"dropout": 0.3, "kind": "mlp"},
        "latent_shape": [2],
    }
    assert not draft.fill({"vae": {"latent_shape": [9]}})


def test_a_table_of_another_kind_is_left_alone():
    draft = Draft({"vae": {"encoder": {"kind": "conv"}}})
    assert not draft.fill({"vae": {"encoder": {"kind": "mlp", "hidden": [9]}}})
    assert draft.values == {"vae": {"encoder": {"kind": "conv"}}}


def test_a_reason_is_kept_unless_all_was_asked_for():
    draft = Draft({"image": {"height": 5}})
    draft.decide("image", WHY, height=3)
    assert draft.reasons == {}
    draft.decide("image", WHY, height=3, width=3)
    assert draft.reasons == {"image": [WHY]}
    assert str(WHY) == "size: 3x3, because it is."


def test_entries_are_found_by_their_keys_and_none_where_there_are_none():
    draft = Draft({"image": {"height": 5, "channels": 3}, "name": "x"})
    assert draft.get("image", "height") == draft.number("image", "height") == 5
    assert draft.get("image", "width") is draft.get("name", "first") is None
    assert draft.size == (5, 0)
    assert draft.has_colour


@pytest.mark.parametrize("value", ["tall", 0, -1, 2.5, [1]])
def test_a_number_that_is_none_is_refused(value):
    with pytest.raises(
        ConfigError, match=r"^image\.height = .* is not allowed\. Allowed: whole number > 0\.$"
    ):
        Draft({"image": {"height": value}}).number("image", "height")
