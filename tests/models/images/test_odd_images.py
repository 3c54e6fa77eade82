"""The odd pictures of Pillow's own tests: each is read or refused; training reads the same."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from models.errors import CorruptImage, InputError, PayloadTooLarge, UnsupportedMedia
from models.images import ImageSpec, read_levels, read_picture

GREY = ImageSpec(channels=1, height=28, width=28)
COLOUR = ImageSpec(channels=3, height=32, width=32, fit="pad", background=255)

READ = {
    "7x13.png": (),
    "12bit.cropped.tif": (),
    "16bit.cropped.tif": (),
    "apng__mode_16bit.png": ("alpha on 0",),
    "apng__mode_palette_alpha.png": ("alpha on 0",),
    "bmp__html__pal1.png": (),
    "dispose_bgnd.gif": (),
    "flower.jpg": (),
    "flower2.jpg": (),
    "hopper.Lab.tif": (),
    "hopper.gif": (),
    "hopper.jpg": (),
    "hopper.png": (),
    "hopper.webp": (),
    "hopper_1bit.pbm": (),
    "hopper_bad_exif.jpg": ("exif damaged, ignored",),
    "hopper_gray_4bpp.tif": (),
    "hopper_orientation_2.jpg": ("exif-orientation 2",),
    "hopper_orientation_4.jpg": ("exif-orientation 4",),
    "hopper_orientation_6.jpg": ("exif-orientation 6",),
    "hopper_orientation_7.jpg": ("exif-orientation 7",),
    "hopper_webp.png": (),
    "icc_profile.png": ("alpha on 0",),
    "jpeg_ff00_header.jpg": (),
    "l_trns.png": ("alpha on 0",),
    "no_palette.gif": (),
    "p_16.png": ("alpha on 0",),
    "pil123p.png": ("alpha on 0",),
    "pil_sample_cmyk.jpg": (),
    "rgb.jpg": (),
    "tiny.png": ("alpha on 0",),
    "transparent.png": ("alpha on 0",),
    "truncated_app14.jpg": (),
    "xmp_tags_orientation_exiftool.png": ("exif-orientation 3", "alpha on 0"),
}
REFUSED = {
    "avif__hopper.avif": UnsupportedMedia,
    "bmp__b__badwidth.bmp": PayloadTooLarge,
    "bmp__b__shortfile.bmp": CorruptImage,
    "broken_data_stream.png": CorruptImage,
    "crash-1152ec2d1a1a71395b6f2ce6721c38924d025bf3.tif": CorruptImage,
    "decompression_bomb.ico": UnsupportedMedia,
    "hopper.qoi": UnsupportedMedia,
    "seek_too_large.tif": CorruptImage,
    "test-ole-file.doc": UnsupportedMedia,
    "tga__common__200x32_rgba_tl_rle.tga": UnsupportedMedia,
    "truncated_image.png": CorruptImage,
    "ultrahdr.jpg": CorruptImage,
}


def test_every_file_has_its_verdict(data_dir):
    manifest = json.loads((data_dir("odd_images") / "MANIFEST.json").read_text())
    assert {entry["file"] for entry in manifest} == {*READ, *REFUSED}


@pytest.mark.parametrize("name", READ)
def test_a_good_file_is_read_and_says_what_was_done(name, data_dir):
    observation = read_picture((data_dir("odd_images") / name).read_bytes(), GREY)
    assert observation.x.shape == (1, 28, 28)
    done = observation.preprocessing
    assert tuple(s for s in done if s.startswith(("exif", "alpha"))) == READ[name]


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_refused(name, data_dir):
    with pytest.raises(REFUSED[name]):
        read_picture((data_dir("odd_images") / name).read_bytes(), GREY)


@pytest.mark.parametrize("spec", [GREY, COLOUR], ids=["grey", "colour"])
def test_training_and_serving_make_the_same_tensor(spec, data_dir):
    for name in READ:
        data = (data_dir("odd_images") / name).read_bytes()
        np.testing.assert_array_equal(read_levels(data, spec)[0], read_picture(data, spec).x)


@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/avif", "text/plain"])
def test_a_wrong_media_type_never_raises_anything_but_our_errors(media_type, data_dir):
    for name in (*READ, *REFUSED):
        data = (data_dir("odd_images") / name).read_bytes()
        try:
            read_picture(data, COLOUR, media_type=media_type)
        except InputError:
            continue
        assert name.endswith({"image/png": ".png", "image/jpeg": ".jpg"}[media_type])


def test_all_of_them_together_cost_less_than_200_megabytes(data_dir):
    script = """
    import pathlib, resource, sys
    from models.errors import InputError
    from models.images import ImageSpec, read_picture
    spec = ImageSpec(channels=3, height=64, width=64)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        try:
            read_picture(path.read_bytes(), spec)
        except InputError:
            pass
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(data_dir("odd_images"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 200
