"""A stand-in for the Hugging Face hub: the part of its protocol that reading datasets uses, over real sockets.

Two servers, as in reality: the hub itself, and a "CDN" of another origin that large files are redirected to.
Faults are scripted per path and consumed one by one.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

TOKEN = "hf_" + "test" * 8


@dataclass
class Repo:
    """branches: revision name → {path: bytes or a Generated}; a branch's commit is a hash of its paths."""

    branches: dict[str, dict]
    gated: bool = True

    def commit(self, revision: str) -> str | None:
        for name, files in self.branches.items():
            sha = hashlib.sha1((name + "\n".join(sorted(files))).encode()).hexdigest()
            if revision in (name, sha):
                return sha
        return None

    def files(self, revision: str) -> dict:
        return next(files for name, files in self.branches.items()
                    if revision in (name, self.commit(name)))


@dataclass
class Generated:
    """A large file that is never held: `n` lines of exactly `width` bytes (newline included)."""

    n: int
    width: int
    line: object  # i → bytes, at most width − 1

    def __len__(self):
        return self.n * self.width

    def slice(self, start: int, stop: int):
        i = start // self.width
        while i * self.width < stop:
            text = self.line(i)
            row = text[:-1] + b" " * (self.width - 1 - len(text)) + text[-1:] + b"\n"
            yield row[max(0, start - i * self.width): stop - i * self.width]
            i += 1


@dataclass
class Fault:
    """What happens to the next request whose path contains `where`; `times` requests in all."""

    where: str
    status: int = 0            # answer with this status
    headers: dict = field(default_factory=dict)
    cut_after: int = -1        # send that many bytes of the body, then drop the connection
    stall: float = 0.0         # seconds of silence after half of what would be sent
    ignore_range: bool = False
    times: int = 1
    host: str = ""             # "hub", "cdn" or both


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients are killed in these tests: their broken connections are no news."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class StandIn:
    """The two servers. `repos`: dataset id → Repo. `log`: (host, method, path, range, bytes sent)."""

    def __init__(self, repos: dict[str, Repo], page: int = 7, large_from: int = 200, pace: float = 0.0,
                 token: str | None = TOKEN):
        self.repos, self.page, self.large_from, self.pace, self.token = repos, page, large_from, pace, token
        self.faults: list[Fault] = []
        self.log: list[tuple] = []
        self.leaks: list[str] = []
        self.accepted: set[str] | None = None  # gated datasets this token may read; None = all
        self.lock = threading.Lock()
        self.hub = Server(("127.0.0.1", 0), self._handler("hub"))
        self.cdn = Server(("127.0.0.1", 0), self._handler("cdn"))
        for server in (self.hub, self.cdn):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self.hub.server_port}"
        # "localhost" is another origin than 127.0.0.1: credentials must not follow the redirect.
        self.cdn_endpoint = f"http://localhost:{self.cdn.server_port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for server in (self.hub, self.cdn):
            server.shutdown()
            server.server_close()

    def sent(self, part: str = "") -> int:
        return sum(n for *_, path, _, n in self.log if part in path)

    def _fault(self, host: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.where in path and fault.times > 0 and fault.host in ("", host):
                    fault.times -= 1
                    return fault
        return None

    def _handler(standin, host):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.answer()

            def do_HEAD(self):
                self.answer()

            def do_POST(self):
                self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.answer()

            def answer(self):
                try:
                    self.fault = standin._fault(host, unquote(self.path))
                    if self.fault and self.fault.status:
                        return self.fail(self.fault.status, self.fault.headers)
                    getattr(self, host)()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            # -- the CDN: a file by its signed address, nothing else --------------------------------
            def cdn(self):
                if self.headers.get("Authorization"):
                    standin.leaks.append(self.path)
                parts = urlsplit(self.path)
                if parse_qs(parts.query).get("Signature") != ["ok"]:
                    return self.fail(403)
                repo, commit, path = unquote(parts.path).lstrip("/").split("@@")
                self.content(standin.repos[repo].files(commit)[path], {})

            # -- the hub --------------------------------------------------------------------------
            def hub(self):
                parts = urlsplit(self.path)
                path, query = parts.path, parse_qs(parts.query)
                if self.bad_token():
                    return self.fail(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
                api = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/([^/]+)(?:/(.+))?)?",
                                   path)
                resolve = re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
                match = api or resolve
                if not match:
                    return self.fail(404)
                name = match[1]
                repo = standin.repos.get(name)
                if repo is None:
                    # Without a token the hub does not say whether a dataset exists.
                    return self.fail(404 if self.token() else 401, {"X-Error-Code": "RepoNotFound"})
                if resolve:
                    return self.resolve(name, repo, unquote(match[2]), unquote(match[3]))
                commit = repo.commit(unquote(match[3] or "main"))
                if commit is None:
                    return self.fail(404, {"X-Error-Code": "RevisionNotFound"})
                if match[2] == "tree":
                    return self.tree(repo, commit, unquote(match[4] or ""), query)
                if match[2] == "paths-info":
                    return self.paths_info(repo, commit)
                self.json({"_id": "0", "id": name, "author": name.split("/")[0], "sha": commit,
                           "lastModified": "2024-06-18T10:00:00.000Z", "private": False,
                           "gated": "auto" if repo.gated else False, "disabled": False, "downloads": 1,
                           "likes": 0, "tags": [], "siblings": [{"rfilename": p} for p in repo.files(commit)],
                           "createdAt": "2024-06-17T10:00:00.000Z"})

            def tree(self, repo, commit, folder, query):
                files = repo.files(commit)
                prefix = f"{folder}/" if folder else ""
                inside = sorted(path for path in files if path.startswith(prefix))
                if not inside:
                    return self.fail(404, {"X-Error-Code": "EntryNotFound"})
                folders = {"/".join(path.split("/")[:i]) for path in inside for i in range(1, path.count("/") + 1)}
                entries = [{"type": "directory", "oid": "0" * 40, "size": 0, "path": name}
                           for name in sorted(folders) if name.startswith(prefix)]
                entries += [self.entry(path, files[path]) for path in inside]
                if query.get("recursive", ["false"])[0].lower() != "true":
                    entries = [entry for entry in entries if "/" not in entry["path"][len(prefix):]]
                start = int(query.get("cursor", ["0"])[0])
                headers = {}
                if start + standin.page < len(entries):
                    kept = "".join(f"&{k}={quote(v[0])}" for k, v in query.items() if k != "cursor")
                    address = f"{standin.endpoint}{urlsplit(self.path).path}?cursor={start + standin.page}{kept}"
                    headers["Link"] = f'<{address}>; rel="next"'
                self.json(entries[start: start + standin.page], headers)

            def paths_info(self, repo, commit):
                files = repo.files(commit)
                wanted = parse_qs(self.body.decode()).get("paths", [])
                self.json([self.entry(path, files[path]) if path in files else
                           {"type": "directory", "oid": "0" * 40, "size": 0, "path": path}
                           for path in wanted if path in files or any(p.startswith(f"{path}/") for p in files)])

            def entry(self, path, content):
                oid = hashlib.sha256(path.encode()).hexdigest()
                entry = {"type": "file", "oid": oid[:40], "size": len(content), "path": path}
                if len(content) >= standin.large_from:
                    entry["lfs"] = {"oid": oid, "size": len(content), "pointerSize": 134}
                return entry

            def resolve(self, name, repo, revision, path):
                if repo.gated and not self.token():
                    return self.fail(401, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Access is restricted"})
                if repo.gated and standin.accepted is not None and name not in standin.accepted:
                    return self.fail(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "Not in the list"})
                commit = repo.commit(revision)
                if commit is None:
                    return self.fail(404, {"X-Error-Code": "RevisionNotFound"})
                content = repo.files(commit).get(path)
                if content is None:
                    return self.fail(404, {"X-Error-Code": "EntryNotFound"})
                oid = hashlib.sha256(path.encode()).hexdigest()
                headers = {"X-Repo-Commit": commit, "ETag": f'"{oid[:40]}"', "X-Linked-Etag": f'"{oid}"',
                           "X-Linked-Size": str(len(content))}
                if len(content) < standin.large_from:
                    return self.content(content, headers)
                target = f"{standin.cdn_endpoint}/{quote(f'{name}@@{commit}@@{path}')}?Signature=ok"
                self.plain(302, b"Found", {**headers, "Location": target})

            # -- answers --------------------------------------------------------------------------
            def token(self):
                return (self.headers.get("Authorization") or "").removeprefix("Bearer ") or None

            def bad_token(self):
                return self.token() not in (None, standin.token)

            def content(self, content, headers):
                size = len(content)
                start, stop, status = 0, size, 200
                wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
                if wanted and not (self.fault and self.fault.ignore_range):
                    start, stop, status = int(wanted[1]), min(size, int(wanted[2] or size - 1) + 1), 206
                    if start >= size:
                        return self.fail(416)
                    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
                self.send_response(status)
                for key, value in {"Accept-Ranges": "bytes", "Content-Length": str(stop - start), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                sent = self.send_body(content, start, stop)
                standin.log.append((host, self.command, unquote(self.path), self.headers.get("Range"), sent))

            def send_body(self, content, start, stop):
                cut = self.fault.cut_after if self.fault and self.fault.cut_after >= 0 else stop - start
                end = min(stop, start + cut)
                pieces = content.slice(start, end) if isinstance(content, Generated) else (
                    content[i: min(i + 65536, end)] for i in range(start, end, 65536))
                sent = 0
                for piece in pieces:
                    if self.fault and self.fault.stall and sent + len(piece) > (end - start) / 2:
                        self.wfile.write(piece[: len(piece) // 2])
                        self.wfile.flush()
                        time.sleep(self.fault.stall)
                        self.close_connection = True
                        return sent + len(piece) // 2
                    self.wfile.write(piece)
                    sent += len(piece)
                    if standin.pace:
                        time.sleep(standin.pace * len(piece))
                if end < stop:
                    self.close_connection = True
                return sent

            def json(self, value, headers=None):
                self.plain(200, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

            def fail(self, status, headers=None):
                self.plain(status, b"" if self.command == "HEAD" else b"{}", headers or {})

            def plain(self, status, body, headers):
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                standin.log.append((host, self.command, unquote(self.path), self.headers.get("Range"), len(body)))

        return Handler
