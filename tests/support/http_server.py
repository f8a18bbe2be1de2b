"""A local HTTP server that misbehaves in whatever way a test asks for."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Reply = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers each request with the next planned reply; the last one answers all that follow."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.requests.append((self.path, self.headers))
        reply = server.plan.pop(0) if len(server.plan) > 1 else server.plan[0]
        reply(self)
        self.close_connection = True

    def log_message(self, *args):
        pass

    def start(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Remembers (path, headers) of the requests, and how to answer the next ones."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan: list[Reply] = []
        self.requests: list = []

    def handle_error(self, request, client_address):
        if not isinstance(sys.exception(), ConnectionError):  # a client that hangs up is no fault here
            super().handle_error(request, client_address)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{name}"

    def asked_ranges(self) -> list[str | None]:
        return [headers["Range"] for _, headers in self.requests]


@contextmanager
def serving() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(
    content: bytes,
    stop_after: int | None = None,
    announced: int | None = None,
    etag: str | None = '"one"',
    modified: str | None = None,
    heeds_range: bool = True,
    heeds_if_range: bool = True,
) -> Reply:
    """Serve `content` as a good server would, but for the faults that are asked for.

    Args:
        content: the file.
        stop_after: close the connection after so many bytes of the answer.
        announced: Content-Length, where it is not to be the true one; -1 leaves it out.
        etag, modified: validators; None leaves them out.
        heeds_range: answer a Range with 206.
        heeds_if_range: answer with 200 where the If-Range does not fit.
    """

    def reply(handler: Handler) -> None:
        headers = {"ETag": etag, "Last_Modified": modified}
        headers = {name: value for name, value in headers.items() if value is not None}
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers["Range"] or "") if heeds_range else None
        if heeds_if_range and handler.headers["If-Range"] not in (None, etag, modified):
            wanted = None
        start = int(wanted[1]) if wanted else 0
        if start >= len(content) > 0:
            handler.start(416, Content_Range=f"bytes */{len(content)}", Content_Length=0)
            return
        body = content[start:]
        if wanted:
            headers["Content_Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if announced != -1:
            headers["Content_Length"] = len(body) if announced is None else announced
        handler.start(206 if wanted else 200, **headers)
        handler.wfile.write(body[:stop_after])

    return reply


def fail(status: int) -> Reply:
    return lambda handler: handler.start(status, Content_Length=0)
