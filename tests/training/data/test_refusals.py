"""What a name that is no data set means."""

import pytest

from training.data.refusals import DATA_FORMS, why_no_dataset


@pytest.mark.parametrize(
    ("source", "kind", "fix"),
    [
        ("a/faces.zip", "an archive", "unzip 'a/faces.zip' -d 'faces'"),
        ("faces.tar.gz", "an archive", "mkdir 'faces' && tar -xf 'faces.tar.gz' -C 'faces'"),
        ("faces.TGZ", "an archive", "tar -xf 'faces.TGZ'"),
        ("some.npy.gz", "compressed", "gunzip -k 'some.npy.gz'"),
        ("faces.csv", "a table", 'numpy.savez("faces.npz", images=pixels.reshape('),
        ("faces.tar.bz2", "an archive", "bunzip2 -k 'faces.tar.bz2'"),
        ("faces.feather", "a table", "numpy.savez"),
        ("faces.mat", "a file of another program", 'numpy.savez("faces.npz", images=pictures)'),
        ("faces.pt", "a file of another program", "numpy.savez"),
        ("faces.h5", "a file of another program", "numpy.savez"),
        ("a/cat.JPG", "one picture", "Name its folder: a"),
        ("cat.pgm", "one picture", "Name its folder: ."),
        ("https://example.org/faces", "a URL", "Download it, unpack it"),
        ("s3://bucket/faces.zip", "a URL", "Download it, unpack it"),
    ],
)
def test_a_name_tells_what_it_is_what_data_may_be_and_what_to_do(
    source: str, kind: str, fix: str
) -> None:
    found = why_no_dataset(source)
    assert found is not None
    message = " ".join(found)
    assert message.startswith(f"{source} is {kind}")
    assert fix in message
    assert DATA_FORMS in message


@pytest.mark.parametrize("source", ["digits", "faces.npz", "faces", "C:\\faces", "recipe.toml"])
def test_a_name_that_may_be_data_or_a_recipe_tells_nothing(source: str) -> None:
    assert why_no_dataset(source) is None
