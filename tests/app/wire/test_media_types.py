"""One table of media types: lists that other packages keep for themselves agree with it."""

from app.operations.table import OPERATIONS
from app.wire import media_types
from app.wire.media_types import MEDIA_TYPES, NPZ, PICTURES, STREAM_TYPES, bare_media_type
from models.images.picture_kinds import PICTURE_MEDIA_TYPES
from vae_client import sources


def test_the_client_knows_the_types_of_the_table() -> None:
    assert NPZ.media_type == sources.NPZ_TYPE
    assert media_types.ANY_TYPE == sources.ANY_TYPE


def test_pictures_are_those_that_are_decoded() -> None:
    assert [entry.media_type for entry in PICTURES] == [
        names[0] for names in PICTURE_MEDIA_TYPES.values()
    ]


def test_every_form_of_an_answer_has_a_media_type() -> None:
    assert {form for op in OPERATIONS.values() for form in op.formats} == set(MEDIA_TYPES)
    assert {form for op in OPERATIONS.values() for form in op.streams} == set(STREAM_TYPES)


def test_a_media_type_is_read_without_its_parameters() -> None:
    assert bare_media_type("Image/PNG; q=1") == "image/png"
    assert bare_media_type(None) == ""
