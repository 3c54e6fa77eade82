"""Answers in notebooks: HTML that needs nothing from elsewhere, with every text escaped."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from vae_client.pictures import to_pil, to_png

MAX_PICTURES = 64
MAX_ROWS = 20
MAX_COLUMNS = 16
MAX_WARNINGS = 10


def page(heading: str, body: str, warnings: Sequence[str]) -> str:
    """A heading, what the answer holds, and what is doubtful about it."""
    shown = [f"<li>{escape(text)}</li>" for text in warnings[:MAX_WARNINGS]]
    if len(warnings) > MAX_WARNINGS:
        shown.append(f"<li>{len(warnings) - MAX_WARNINGS:,} more</li>")
    listed = f"<ul>{''.join(shown)}</ul>" if shown else ""
    return f"<div><p><b>{escape(heading)}</b></p>{body}{listed}</div>"


def pictures_html(images: np.ndarray, names: Sequence[str]) -> str:
    """Pictures (N, C, H, W) beside one another, enlarged where they are small."""
    side = max(64, images.shape[-1])
    shown = [
        f'<img src="data:image/png;base64,{base64.b64encode(to_png(picture)).decode()}" '
        f'width="{side}" title="{escape(name)}" alt="{escape(name)}" '
        'style="image-rendering:pixelated;margin:1px;display:inline">'
        for picture, name in zip(to_pil(images[:MAX_PICTURES]), names, strict=False)
    ]
    return "".join(shown) + _more(len(images) - MAX_PICTURES, "pictures")


def table_html(columns: Mapping[str, Sequence[Any]]) -> str:
    """A table of the first rows and columns, and how many more there are."""
    names = list(columns)[:MAX_COLUMNS]
    rows = zip(*(columns[name][:MAX_ROWS] for name in names), strict=True)
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row)}</tr>" for row in rows
    )
    count = len(columns[names[0]])
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"{_more(count - MAX_ROWS, 'rows')}{_more(len(columns) - MAX_COLUMNS, 'columns')}"
    )


def _more(count: int, noun: str) -> str:
    return f"<p>{count:,} more {noun}</p>" if count > 0 else ""


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
