"""A web server that answers as the Hugging Face Hub does for one repository: its list of files, and the files."""

import hashlib
import json

from tests.file_server import FileHandler, FileServer

COMMIT = "c" * 40


class FakeHub(FileServer):
    """A `FileServer` whose `files` {"owner/model/file": content} are those of a repository.

    Attributes:
        promised: {"owner/model/file": hash} where the list tells another than the right one.
        plain: names of the files that are not in Git LFS, of which the list has no hash.
    """

    def __init__(self):
        super().__init__()
        self.RequestHandlerClass = _HubHandler
        self.promised, self.plain = {}, set()

    @property
    def endpoint(self) -> str:
        return self.url("").rstrip("/")

    def entry(self, name: str, content: bytes) -> dict:
        found = {"rfilename": name.split("/", 2)[2], "size": len(content), "blobId": "b" * 40}
        if name in self.plain:
            return found
        digest = self.promised.get(name, hashlib.sha256(content).hexdigest())
        return found | {"lfs": {"sha256": digest, "size": len(content), "pointerSize": 134}}


class _HubHandler(FileHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/"):
            self.send_list(path.removeprefix("/api/models/"))
            return
        self.path = path.replace(f"/resolve/{COMMIT}/", "/", 1)
        super().do_GET()

    def send_list(self, repository):
        self.server.requests.append((f"list of {repository}", None))
        files = {name: file for name, file in self.server.files.items() if name.startswith(f"{repository}/")}
        if not files:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        entries = [self.server.entry(name, content) for name, content in files.items()]
        content = json.dumps({"id": repository, "sha": COMMIT, "siblings": entries}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
