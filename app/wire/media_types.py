"""The media types of bodies and answers, each once."""

MEDIA_TYPES = {
    "json": "application/json",
    "png": "image/png",
    "npy": "application/x-npy",
    "npz": "application/x-npz",
    "webp": "image/webp",
    "gif": "image/gif",
}
"""A form's name in `?format=` and its media type."""


PICTURE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff")
NPY_TYPES = ("application/x-npy", "application/npy")
NPZ_TYPES = ("application/x-npz", "application/npz")
JSON_TYPE = "application/json"
MULTIPART_TYPE = "multipart/form-data"
ANY_TYPE = "application/octet-stream"
"""A picture whose first bytes say what it is."""
BODY_TYPES = (*PICTURE_TYPES, JSON_TYPE, MULTIPART_TYPE, NPY_TYPES[0], NPZ_TYPES[0])
