"""The part of Splunk SOAR's REST API that the SDK asks for files of the vault."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit


@contextmanager
def vault(files: Mapping[str, Path]) -> Iterator[str]:
    """Serves the files of a vault, by their ids; gives the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/login":
                self._answer(b"", cookie="csrftoken=token")
                return
            assert url.path == "/rest/container_attachment"
            (wanted,) = parse_qs(url.query)["_filter_vault_document__hash"]
            found = [
                _attachment(vault_id, path)
                for vault_id, path in files.items()
                if wanted == f'"{vault_id}"'
            ]
            self._answer(json.dumps({"num_pages": 1, "data": found}).encode())

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(b"", cookie="sessionid=session")

        def log_message(self, *_: object) -> None:
            pass

        def _answer(self, content: bytes, *, cookie: str | None = None) -> None:
            self.send_response(200)
            if cookie is not None:
                self.send_header("Set-Cookie", cookie)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _attachment(vault_id: str, path: Path) -> dict[str, Any]:
    return {
        "id": 1,
        "container": "a container",
        "container_id": 1,
        "create_time": "2026-03-01T12:00:00Z",
        "hash": vault_id,
        "name": path.name,
        "path": str(path),
        "size": 1,
        "user": "admin",
        "vault_document": 1,
        "vault_id": vault_id,
    }
