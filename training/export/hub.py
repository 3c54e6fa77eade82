"""Bundles in repositories of the Hugging Face Hub: push, and pull.

    <repository>/README.md               the card of the highest version, with the Hub's metadata
    <repository>/<model>/<version>/...   the bundle, byte for byte

A repository holds the versions of one model. A version that is there is never overwritten.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from models import __version__
from models.bundle.loading import load_bundle
from models.bundle.reading import read_files
from models.bundle.schema import CARD, MANIFEST
from models.config import NAME
from models.errors import BundleError, ConfigError, VAEError
from models.files import new_folder
from training.errors import HubError
from training.export.hub_card import make_hub_card

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_BUNDLE = re.compile(rf"({NAME.strip('^$')})/([1-9][0-9]{{0,8}})/{re.escape(MANIFEST)}")


def push(
    bundle: Path,
    repo: str,
    *,
    revision: str | None = None,
    private: bool = False,
    endpoint: str | None = None,
) -> str:
    """Add a verified bundle to a repository of the Hub, in one commit.

    Args:
        bundle: The bundle's folder.
        repo: The repository, USER/NAME; it is created where there is none.
        revision: Branch to commit to, created where there is none; the main one by default.
        private: Whether nobody else may read it.
        endpoint: Address of the Hub; HF_ENDPOINT or the public one by default.

    Returns:
        Where the bundle is now, or was already.

    Raises:
        BundleError: The bundle cannot be read.
        ConfigError: The repository has another bundle under this version, or another model; or it
            is public and a private one is asked for; or huggingface_hub is not installed.
        HubError: The Hub cannot be reached, or refuses.
    """
    loaded, files = load_bundle(bundle), read_files(bundle)
    name, version = loaded.name, loaded.version
    api = _api(endpoint)
    with _asking(api, repo):
        api.create_repo(repo, private=private or None, exist_ok=True)
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True)
        head = api.model_info(repo, revision=revision)
        place = f"{api.endpoint}/{repo}/tree/{revision or 'main'}/{name}/{version}"
        _check_private(repo, head, asked=private)
        found = _bundles(head)
        _check_model(repo, name, found)
        if (name, version) in found:
            _check_same(api, repo, head.sha, f"{name}/{version}", loaded.digest)
            return place
        card = make_hub_card(repo, loaded.config, loaded.evaluation, files[CARD].decode())
        content = {f"{name}/{version}/{file}": data for file, data in files.items()}
        if version > max((other for _, other in found), default=0):
            content[CARD] = card.encode()
        adds = [_addition(path, data) for path, data in content.items()]
        api.create_commit(
            repo,
            adds,
            commit_message=f"Add {name}, version {version}",
            revision=revision,
            parent_commit=head.sha,  # nobody has added the same version meanwhile
        )
    return place


def pull(
    repo: str,
    *,
    repository: Path,
    version: int | None = None,
    revision: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Get a bundle of the Hub, verify it, and put it into a model repository.

    Args:
        repo: The repository of the Hub, USER/NAME.
        repository: Folder of `<model>/<version>` folders.
        version: The model's version; the highest by default.
        revision: Branch, tag or commit of the Hub's repository; the main branch by default.
        endpoint: Address of the Hub; HF_ENDPOINT or the public one by default.

    Returns:
        The bundle's folder, which is written completely or not at all.

    Raises:
        ConfigError: The repository holds no bundle, no such version, or several models; or the
            version exists here already; or huggingface_hub is not installed.
        BundleError: The bundle is damaged, or of another format; nothing is written.
        HubError: The Hub cannot be reached, or refuses.
    """
    api = _api(endpoint)
    with _asking(api, repo), TemporaryDirectory() as scratch:
        head = api.model_info(repo, revision=revision)
        name, chosen = _choose(repo, _bundles(head), version)
        target = repository / name / str(chosen)
        if target.exists():
            raise ConfigError(
                f"{target} exists, and a bundle is never overwritten. Pull into another folder: "
                f"--repository {repository}-2.",
                parameter="repository",
                received=str(repository),
                suggestion=f"--repository {repository}-2",
            )
        folder = f"{name}/{chosen}/"
        for file in [s.rfilename for s in head.siblings or () if s.rfilename.startswith(folder)]:
            api.hf_hub_download(repo, file, revision=head.sha, local_dir=scratch)
        here = Path(scratch) / name / str(chosen)
        try:
            load_bundle(here)
        except BundleError as error:  # the message names the scratch folder
            raise type(error)(str(error).replace(scratch, repo)) from error
        files = read_files(here)
    with new_folder(target) as new:
        for file, data in files.items():
            (new / file).write_bytes(data)
    return target


def _bundles(head: Any) -> set[tuple[str, int]]:
    """Names and versions of the bundles of a revision."""
    found = (_BUNDLE.fullmatch(file.rfilename) for file in head.siblings or ())
    return {(match[1], int(match[2])) for match in found if match}


def _choose(repo: str, found: set[tuple[str, int]], version: int | None) -> tuple[str, int]:
    names, versions = sorted({name for name, _ in found}), sorted(number for _, number in found)
    if len(names) != 1:
        holds = f"the models {', '.join(names)}" if names else "no bundle"
        raise ConfigError(
            f"{repo} holds {holds}; a repository that is pulled holds one model as "
            "<model>/<version>/. Push one: vae-lab push BUNDLE USER/NAME.",
            parameter="repo",
            received=repo,
        )
    if version is not None and version not in versions:
        raise ConfigError(
            f"{repo} has no version {version} of {names[0]}. Available: "
            f"{', '.join(map(str, versions))}. Take --version {versions[-1]}.",
            parameter="version",
            received=version,
            allowed=versions,
        )
    return names[0], versions[-1] if version is None else version


def _check_private(repo: str, head: Any, *, asked: bool) -> None:
    if asked and head.private is False:
        raise ConfigError(
            f"{repo} is public, and --private is for a new repository. Push to another one, or "
            "make it private in its settings.",
            parameter="private",
        )


def _check_model(repo: str, name: str, found: set[tuple[str, int]]) -> None:
    if others := sorted({other for other, _ in found} - {name}):
        raise ConfigError(
            f"{repo} holds the model {others[0]}; the bundle is of {name}. A repository holds one "
            f"model: push to another one, such as {repo}-{name}.",
            parameter="repo",
            received=repo,
            suggestion=f"{repo}-{name}",
        )


def _check_same(api: "HfApi", repo: str, sha: str | None, folder: str, digest: str) -> None:
    """Refuse a version of which the Hub has another bundle."""
    with TemporaryDirectory() as scratch:
        manifest = api.hf_hub_download(
            repo, f"{folder}/{MANIFEST}", revision=sha, local_dir=scratch
        )
        there = hashlib.sha256(Path(manifest).read_bytes()).hexdigest()
    if there != digest:
        raise ConfigError(
            f"{repo} has another bundle as {folder}, and a released version is never overwritten. "
            "Export the next version: vae-lab export RUN --version next.",
            parameter="bundle",
            received=folder,
        )


def _addition(path: str, data: bytes) -> Any:
    from huggingface_hub import CommitOperationAdd

    return CommitOperationAdd(path_in_repo=path, path_or_fileobj=data)


def _api(endpoint: str | None) -> "HfApi":
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ConfigError(
            "push and pull need the extra hub; huggingface_hub is not installed. Install it: "
            "pip install --constraint constraints.txt --editable '.[hub]'"
        ) from error
    utils: Any = import_module("huggingface_hub.utils")
    utils.disable_progress_bars()
    return HfApi(endpoint=endpoint, library_name="vae-serve", library_version=__version__)


@contextmanager
def _asking(api: "HfApi", repo: str) -> Iterator[None]:
    """Say of any failure of the library, HTTP or the network which Hub and repository it was.

    Raises:
        HubError: Says so.
    """
    try:
        yield
    except VAEError:
        raise
    except Exception as error:
        words = [line.strip() for line in str(error).splitlines() if line.strip()]
        said = words[0] if words else type(error).__name__
        raise HubError(
            f"{repo} at {api.endpoint}: {said} Check the name, --endpoint and your token "
            "(HF_TOKEN, or: hf auth login)."
        ) from error
