"""A web server on this machine that serves files from memory and can fail in the ways that real ones do."""

import http.server
import threading


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` {name: content}; use it in a `with` statement.

    Attributes:
        honours_ranges: whether a part of a file can be asked for.
        tells_size: whether answers say how long they are.
        stops_at: the byte of a file after which no more is sent, though the connection stays; None: nowhere.
        drops: for the next requests, after how many bytes of the answer the connection breaks.
        errors: statuses that the next requests are answered with.
        redirections: {name: other address}.
        requests: (name, value of the Range header) of all requests so far.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), FileHandler)
        self.files, self.redirections = {}, {}
        self.honours_ranges = self.tells_size = True
        self.drops, self.errors, self.requests, self.stops_at = [], [], [], None

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.server_close()


class FileHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server, name, wanted = self.server, self.path.strip("/"), self.headers["Range"]
        server.requests.append((name, wanted))
        if server.errors:
            self.send_error(server.errors.pop(0))
        elif name in server.redirections:
            self.send_response(302)
            self.send_header("Location", server.redirections[name])
            self.end_headers()
        elif name not in server.files:
            self.send_error(404)
        else:
            self.send_file(server.files[name], wanted if server.honours_ranges else None)

    def send_file(self, content, wanted):
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if self.server.tells_size:
            self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end = start + self.server.drops.pop(0) if self.server.drops else len(content)
        if self.server.stops_at is not None:
            self.wfile.write(content[start : self.server.stops_at])
            self.wfile.flush()
            threading.Event().wait(60)  # of a daemon's thread
            return
        self.wfile.write(content[start:end])

    def log_message(self, *args):
        pass
