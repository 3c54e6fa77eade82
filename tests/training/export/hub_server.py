"""A small Hub on 127.0.0.1: the calls of huggingface_hub that make, fill and read repositories."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml


class Repo:
    """Branches, and the files of each commit."""

    def __init__(self, *, private: bool) -> None:
        self.private = private
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.commit("main", {})

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        """Add files to those of a branch; the new commit's id."""
        whole = {**self.at(branch), **files} if self.branches else files
        sha = hashlib.sha1(f"{len(self.commits)}{sorted(whole)}".encode()).hexdigest()
        self.commits[sha] = whole
        self.branches[branch] = sha
        return sha

    def at(self, revision: str) -> dict[str, bytes]:
        """The files of a branch or commit."""
        return self.commits[self.branches.get(revision, revision)]


class Hub:
    """The repositories of a server, by USER/NAME, and what it has been asked."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.tokens: set[str | None] = set()
        self.url = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.tokens.add(self.headers["Authorization"])
        if path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._validate(json.loads(body)["content"])
        elif (parts := path.split("/"))[:3] == ["", "api", "models"]:
            self._change("/".join(parts[3:5]), parts[5], parts[6], body)

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).split("/")
        if parts[1:3] == ["api", "models"]:
            self._describe("/".join(parts[3:5]), parts[6] if len(parts) > 6 else "main")
            return
        repo = self.hub.repos["/".join(parts[1:3])]
        revision, name = parts[4], "/".join(parts[5:])
        data = repo.at(revision)[name]
        sha = repo.branches.get(revision, revision)
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        self._answer(200, data, {"ETag": etag, "X-Repo-Commit": sha})

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        exists = name in self.hub.repos
        private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.hub.repos.setdefault(name, Repo(private=private))
        self._say({"url": f"{self.hub.url}/{name}"}, 409 if exists else 200)

    def _validate(self, card: str) -> None:
        """Refuse a card whose metadata are no YAML, or have no licence."""
        found = yaml.safe_load(card.split("---\n")[1])
        errors = [] if "license" in found else [{"message": "license is missing"}]
        self._say({"errors": errors, "warnings": []}, 400 if errors else 200)

    def _change(self, name: str, call: str, revision: str, body: bytes) -> None:
        repo = self.hub.repos[name]
        if call == "branch":
            repo.branches.setdefault(revision, repo.branches["main"])
            self._say({})
        elif call == "preupload":
            self._say({"files": [_upload(file) for file in json.loads(body)["files"]]})
        else:
            self._commit(name, revision, [json.loads(line) for line in body.splitlines()])

    def _commit(self, name: str, revision: str, lines: list[dict[str, Any]]) -> None:
        repo, files, head = self.hub.repos[name], {}, {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            else:
                head = value
        if head.get("parentCommit") not in (None, repo.branches[revision]):
            self._say({"error": "the branch has moved"}, 412)
            return
        sha = repo.commit(revision, files)
        self._say({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha})

    def _describe(self, name: str, revision: str) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            self._say({"error": "Not found"}, 404, {"X-Error-Code": "RepoNotFound"})
            return
        sha = repo.branches.get(revision, revision)
        if sha not in repo.commits:
            self._say({"error": "Not found"}, 404, {"X-Error-Code": "RevisionNotFound"})
            return
        files, card = repo.at(revision), repo.at(revision).get("README.md")
        described = {
            "id": name,
            "sha": sha,
            "private": repo.private,
            "siblings": [{"rfilename": path} for path in sorted(files)],
        }
        if card is not None:
            described["cardData"] = yaml.safe_load(card.decode().split("---\n")[1])
        self._say(described)

    def _say(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        named = {"Content-Type": "application/json", **(headers or {})}
        self._answer(status, json.dumps(value).encode(), named)

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""


def _upload(file: dict[str, Any]) -> dict[str, Any]:
    """Every file comes with the commit: the store for large ones is not here."""
    return {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}


@contextmanager
def serve_hub() -> Iterator[Hub]:
    """A Hub without repositories, until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
