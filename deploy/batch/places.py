"""Files of this machine and of object stores, through pyarrow's file systems."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from models.errors import printable
from models.files import write_whole
from vae_client.errors import CallError

_URI = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A file or folder, here or in a store."""

    text: str
    """As it was written."""
    path: str
    """Within its file system."""
    system: Any
    """A `pyarrow.fs.FileSystem`."""
    is_local: bool

    def files(self, suffixes: Sequence[str]) -> list[Any]:
        """Infos of the file, or of all files below the folder, with such a suffix, by path."""
        fs = import_module("pyarrow.fs")
        (info,) = self.system.get_file_info([self.path])
        if info.type == fs.FileType.Directory:
            found = self.system.get_file_info(fs.FileSelector(self.path, recursive=True))
        else:
            found = [info]
        kept = [
            one
            for one in found
            if one.type == fs.FileType.File
            and one.path.lower().endswith(tuple(suffixes))
            and not any(part.startswith(("_", ".")) for part in self._below(one.path))
        ]
        return sorted(kept, key=lambda one: one.path)

    def _below(self, path: str) -> Sequence[str]:
        """The parts of a path below this folder."""
        return path[len(self.path) :].strip("/").split("/")

    def join(self, name: str) -> str:
        """The path of a file in the folder."""
        return f"{self.path.rstrip('/')}/{name}"

    def make_folder(self) -> None:
        """Make the folder, and those above it."""
        self.system.create_dir(self.path, recursive=True)

    def names(self) -> set[str]:
        """Names of the files in the folder; none where there is no folder."""
        fs = import_module("pyarrow.fs")
        infos = self.system.get_file_info(fs.FileSelector(self.path, allow_not_found=True))
        return {info.base_name for info in infos if info.type == fs.FileType.File}

    def write(self, name: str, content: bytes) -> None:
        """Write a file into the folder, whole or not at all: stores do so by themselves."""
        if self.is_local:
            write_whole(Path(self.join(name)), content)
            return
        with self.system.open_output_stream(self.join(name)) as stream:
            stream.write(content)

    def read(self, path: str) -> bytes:
        """The bytes of a file."""
        with self.system.open_input_stream(path) as stream:
            content: bytes = stream.read()
        return content

    def read_or_empty(self, path: str) -> bytes:
        """The bytes of a file; none where it cannot be read, which its item's error then says."""
        try:
            return self.read(path)
        except OSError:
            return b""

    def open_parquet(self, path: str) -> Any:
        """A `pyarrow.parquet.ParquetFile`."""
        return import_module("pyarrow.parquet").ParquetFile(path, filesystem=self.system)


def find_place(text: str) -> Place:
    """The place that a path or URI names.

    Raises:
        CallError: pyarrow is not installed, or knows no such store.
    """
    try:
        fs = import_module("pyarrow.fs")
    except ImportError as error:
        raise CallError(
            "vae-lab batch needs pyarrow, which is not installed. Run pip install pyarrow."
        ) from error
    if _URI.match(text) is None:
        return Place(text, str(Path(text).expanduser()), fs.LocalFileSystem(), is_local=True)
    try:
        system, path = fs.FileSystem.from_uri(text)
    except (ValueError, OSError) as error:
        raise CallError(
            f"{printable(text)} cannot be opened: {error}. Name a folder, or a URI such as "
            "s3://bucket/photos."
        ) from error
    is_local = isinstance(system, fs.LocalFileSystem)
    return Place(text, path, system, is_local=is_local)
