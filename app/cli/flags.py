"""The words of a service's refusals and warnings as a command line has them.

`--label 3` stands for `label=3`, and `--invert` for `invert=true`.
"""

import re

from app.operations.table import OPERATIONS

_NAMES = {name for one in OPERATIONS.values() for name in one.parameters.model_fields}
_NAME = f"({'|'.join(sorted({*_NAMES, 'version'}, key=len, reverse=True))})"

_SWITCHES = "|".join(
    {
        name: None
        for one in OPERATIONS.values()
        for name, field in one.parameters.model_fields.items()
        if field.annotation is bool
    }
)

_REPLACEMENTS = (
    (rf"(?<![\w/&?-])({_SWITCHES})=true", r"--\1"),
    (rf"(?<![\w/&?-])({_SWITCHES})=false", r"--no-\1"),
    (
        r"(?:Ask for n=|Send )(\d+)(?: per request,)? with the same seed and first_item=.*$",
        r"Use --batch-size \1; the result is identical.",
    ),
    (r"Send (\d+) \w+ per request", r"Use --batch-size \1"),
    (r"Send the header Authorization: Bearer KEY", "Use --api-key KEY"),
    (r"GET /v1/models (?=says|lists)", "`vae models` "),
    (r" in the path, such as (?=/v1/models/)", ", such as "),
    (r"(?<!path )(?<!mean )/v1/models/([\w-]+)(?=[.,]? |\.?$)", r"--model \1"),
    (r"(?<=\. )([\w-]+(?: and [\w-]+)*) can(?=[.,])", r"--model \1 can"),
    (rf"(?<![\w/&?-]){_NAME}=([^\s,;:]*[^\s,;:.])", r"--\1 \2"),
    (rf"(?<=eave )(?:the )?{_NAME}(?= out)", r"--\1"),
    (rf"^{_NAME}(?= is missing)", r"--\1"),
)


def as_flags(text: str) -> str:
    """Replace parameters, paths and headers of HTTP by the options that send them."""
    for pattern, replacement in _REPLACEMENTS:
        text = re.sub(pattern, replacement, text)
    return re.sub(r"(?<=--)[a-z_]+", lambda name: name[0].replace("_", "-"), text)
