"""Tar shards in the form of WebDataset: pictures and labels read where they lie, none unpacked.

Members whose paths are equal up to the first dot of the name are one sample: a picture (.png, .jpg,
.webp, ...) and its label, `.cls` (a number or a name) or `.json` with "label" or "cls". Other
members of a sample, such as captions, count for nothing.

An index of the members is made once and kept in the disk cache until a shard changes. Names are not
in it: they are read from the shard when something is said of a picture.
"""

import json
import os
import re
import tarfile
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int64
from rich.console import Console

from models.errors import printable
from training.data.array_file import Form
from training.data.disk_cache import DiskCache
from training.data.file_split import SkippedFile
from training.data.file_stamp import NO_STAMP, stamp_file
from training.data.refusals import PICTURE_SUFFIXES, is_archive
from training.data.samples import Reader, Stamps, Unreadable, pack_stamps, stamps_within
from training.data.shards import NO_LABEL, Shards, number_labels
from training.errors import DatasetError
from training.progress_bar import ProgressBar

_COMPRESSED = {
    b"\x1f\x8b": ("gunzip -k", ".gz"),
    b"BZh": ("bunzip2 -k", ".bz2"),
    b"\xfd7zXZ": ("unxz -k", ".xz"),
    b"\x28\xb5\x2f\xfd": ("unzstd", ".zst"),
}
_MAX_BYTES = 2**29
_MAX_LABEL = 2**20
_FOLDERS = 3
_VERSION = 1
"""Raised when an index would come out differently."""
_HEADER, _START, _SIZE, _LABEL = range(4)

Index = Int64[np.ndarray, "picture 4"]
"""Of each picture: the byte at which its header begins, that of its content, its size, and the
position of its label among the different ones, or `NO_LABEL`."""


class TarShards(Shards):
    """The pictures of tar files."""

    about = "the pictures of tar shards"
    fix = (
        "Members must be pictures (.png, .jpg, .webp, ...) beside their .cls or .json. Unpack an "
        "archive within first."
    )
    label_fix = "Add a .cls to each of its samples"

    def __init__(
        self,
        root: Path,
        paths: Sequence[Path],
        *,
        skipped: Sequence[SkippedFile],
        cache: DiskCache,
        console: Console | None,
    ) -> None:
        """Find the members of the shards, by an index that is kept where no shard changed.

        Raises:
            DatasetError: A shard is compressed, damaged or cut short, or is no tar.
        """
        self.root, self.paths = root, paths
        self._stamps = [stamp_file(path)[0] for path in paths]
        place = json.dumps([_VERSION, os.path.abspath(root)])
        name = f"index-{sha256(place.encode()).hexdigest()[:32]}"
        stamps, entry = pack_stamps(self._stamps), cache.find(name)
        if (
            entry is not None
            and all(self._stamps)
            and np.array_equal(entry.arrays["stamp"], stamps)
            and entry.about["names"] == self._names()
        ):
            self._index, self.counts = entry.arrays["index"], entry.arrays["count"]
            found = json.loads(entry.about["found"])
        else:
            found = self._make_index(console)
            kept = None
            if all(self._stamps):
                arrays = {"index": self._index, "count": self.counts, "stamp": stamps}
                kept = cache.write(
                    name,
                    {key: Form(one.dtype, one.shape) for key, one in arrays.items()},
                    arrays.values(),
                    about={
                        "folder": os.path.abspath(root),
                        "holds": "places in shards",
                        "pictures": str(len(self._index)),
                        "names": self._names(),
                        "found": json.dumps(found),
                    },
                )
            if kept is not None:
                self._index = kept.arrays["index"]
        self.labels = number_labels(self._index[:, _LABEL], found["values"])
        self.skipped = [*skipped, *(SkippedFile(*one) for one in found["left_out"])]
        self.warnings = found["warnings"]

    def stamps(self) -> Stamps:
        ends = np.cumsum(self.counts)
        starts = self._index[:, _START]
        return np.concatenate(
            [
                stamps_within(stamp, starts[end - count : end])
                for stamp, end, count in zip(self._stamps, ends, self.counts, strict=True)
            ]
        )

    def readers(self, positions: Int64[np.ndarray, " chosen"]) -> Iterator[Reader]:
        shards = np.searchsorted(np.cumsum(self.counts), positions, side="right")
        for position, shard in zip(positions.tolist(), shards.tolist(), strict=True):
            yield partial(self._read, shard, position)

    def name(self, position: int) -> str:
        shard, _ = self.place(position)
        return f"{self.shard_name(shard)}/{self._member_name(shard, position)}"

    def path(self, position: int) -> str:
        return self._member_name(self.place(position)[0], position)

    def _names(self) -> str:
        return json.dumps([self.shard_name(shard) for shard in range(len(self.paths))])

    def _member_name(self, shard: int, position: int) -> str:
        with self.paths[shard].open("rb") as file:
            return printable(_name_at(file, int(self._index[position, _HEADER])))

    def _read(self, shard: int, position: int) -> tuple[bytes, bytes]:
        path, (_, start, size, _) = self.paths[shard], self._index[position].tolist()
        stamp, _ = stamp_file(path)
        if self._stamps[shard] not in (NO_STAMP, stamp):
            raise DatasetError(
                f"{path} changed after its members were looked for. Run the command again."
            )
        if size == 0:
            raise Unreadable("an empty file")
        if size > _MAX_BYTES:
            raise Unreadable(f"larger than {_MAX_BYTES:,} bytes")
        with path.open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), size, start)
        return data, stamps_within(stamp, np.array([start]))[0].tobytes() if stamp else NO_STAMP

    def _make_index(self, console: Console | None) -> dict[str, Any]:
        """Read the headers of all members; what was found beside the pictures' places."""
        codes: dict[int | str, int] = {}
        parts, left_out, unread, folders = [], [], 0, set[str]()
        bar = ProgressBar(console=console, transient=True)
        with bar:
            task = bar.add_task("listing shards", total=len(self.paths))
            for shard, path in enumerate(self.paths):
                members = _Members(codes, folders)
                with _reading(path), path.open("rb") as file:
                    members.read(file)
                parts.append(members.index())
                name = self.shard_name(shard)
                left_out += [(f"{name}/{printable(one)}", why) for one, why in members.left_out]
                unread += members.unread
                bar.advance(task)
        self.counts = np.array([len(part) for part in parts], np.int64)
        self._index = np.concatenate(parts)
        warnings = []
        if unread:
            noun = "member is" if unread == 1 else "members are"
            warnings.append(
                f"{unread:,} .cls or .json {noun} no label. A .cls holds a number or a name, a "
                '.json an object such as {"label": 3}.'
            )
        if not codes and len(folders) > 1:
            warnings.append(
                "Folders in a tar are no classes. Add a .cls to each sample, or unpack the tar and "
                "name the folder."
            )
        return {"values": list(codes), "left_out": left_out, "warnings": warnings}


class _Members:
    """The members of one shard as they are read."""

    def __init__(self, codes: dict[int | str, int], folders: set[str]) -> None:
        self._codes, self._folders = codes, folders
        self._pictures, self._keys = array("q"), array("q")
        self._labels = {".json": (array("q"), array("q")), ".cls": (array("q"), array("q"))}
        self._others: list[str] = []
        self.left_out: list[tuple[str, str]] = []
        self.unread = 0

    def read(self, file: BinaryIO) -> None:
        """Read every header, and the content of labels.

        Raises:
            tarfile.ReadError: It is no tar, compressed, damaged or cut short.
        """
        with tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined] # it would keep all of them
                if not member.isdir():
                    self._add(member, file)
            file.seek(tar.offset)
            if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise tarfile.ReadError(f"it is damaged at byte {tar.offset:,}")
        self._leave_out_copies(file)
        if not self._pictures:
            self.left_out += [(name, "no picture by its name") for name in self._others]

    def _add(self, member: tarfile.TarInfo, file: BinaryIO) -> None:
        base = member.name.rpartition("/")[2]
        stem, _, rest = base.partition(".")
        folder = member.name[: len(member.name) - len(base)]
        suffix, key = f".{rest.rpartition('.')[2].lower()}", hash(folder + stem)
        if base.startswith("."):
            self.left_out.append((member.name, "hidden file"))
        elif not member.isreg() or member.issparse():
            self.left_out.append((member.name, "a link or another special member"))
        elif suffix in PICTURE_SUFFIXES:
            self._pictures.extend((member.offset, member.offset_data, member.size, NO_LABEL))
            self._keys.append(key)
            if len(self._folders) < _FOLDERS:
                self._folders.add(folder)
        elif suffix in self._labels:
            if member.size <= _MAX_LABEL:
                data = os.pread(file.fileno(), member.size, member.offset_data)
                self._add_label(suffix, key, data)
        elif is_archive(Path(base)):
            self.left_out.append((member.name, "an archive within the archive"))
        elif len(self._others) < _FOLDERS:
            self._others.append(member.name)

    def _add_label(self, suffix: str, key: int, data: bytes) -> None:
        try:
            label = _parse_json(data) if suffix == ".json" else _parse_text(data)
        except ValueError:
            self.unread += 1
            return
        if label is not None:
            keys, codes = self._labels[suffix]
            keys.append(key)
            codes.append(self._codes.setdefault(label, len(self._codes)))

    def index(self) -> Index:
        """Places of the shard's pictures, with the labels of their samples."""
        found = np.array(self._pictures, np.int64).reshape(-1, 4)
        for keys, codes in self._labels.values():  # of two labels, that of .cls counts
            if keys:
                have = np.array(keys, np.int64)
                order = np.argsort(have, kind="stable")
                near = np.searchsorted(have, np.array(self._keys, np.int64), sorter=order)
                place = order[np.minimum(near, len(have) - 1)]
                is_same = have[place] == np.array(self._keys, np.int64)
                found[is_same, _LABEL] = np.array(codes, np.int64)[place[is_same]]
        return found

    def _leave_out_copies(self, file: BinaryIO) -> None:
        """Keep the first picture of each sample."""
        keys = np.array(self._keys, np.int64)
        _, first = np.unique(keys, return_index=True)
        if len(first) == len(keys):
            return
        found = np.array(self._pictures, np.int64).reshape(-1, 4)
        for row in np.setdiff1d(np.arange(len(keys)), first):
            name = _name_at(file, int(found[row, _HEADER]))
            self.left_out.append((name, "another picture of a sample that has one"))
        first.sort()
        self._keys = array("q", keys[first].tobytes())
        self._pictures = array("q", found[first].tobytes())


def _parse_text(data: bytes) -> int | str:
    text = data.decode("utf-8", "replace").strip()
    if not text:
        raise ValueError("an empty label")
    return int(text) if re.fullmatch(r"[+-]?[0-9]{1,18}", text) else text


def _parse_json(data: bytes) -> int | str | None:
    """The label of an object; None where it has none."""
    found = json.loads(data)
    label = found.get("label", found.get("cls")) if isinstance(found, dict) else None
    if isinstance(label, float) and label.is_integer():
        return int(label)
    return label if type(label) in (int, str) else None


def _name_at(file: BinaryIO, header: int) -> str:
    """The name of the member whose header begins at a byte."""
    file.seek(header)
    with tarfile.open(fileobj=file, mode="r:") as tar:
        member = tar.next()
    return "" if member is None else member.name


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Say which tar cannot be read, and why."""
    with path.open("rb") as file:
        head = file.read(6)
    for magic, (command, suffix) in _COMPRESSED.items():
        if head.startswith(magic):
            raise DatasetError(
                f"{path} is compressed, so that its members cannot be read where they lie. Unpack "
                f"it: mv '{path}' '{path}{suffix}' && {command} '{path}{suffix}'",
                received=str(path),
            )
    try:
        yield
    except (tarfile.TarError, OverflowError) as error:
        raise DatasetError(
            f"{path} is no whole tar: {error}. Fetch or write it again.", received=str(path)
        ) from error
