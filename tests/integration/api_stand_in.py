"""A child in the place of the API: serves /readyz on the inherited socket, and says who and where it is."""

from __future__ import annotations

import json
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"pid": os.getpid(), "environment": dict(os.environ)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    if sys.argv[1:] == ["fails"]:
        raise SystemExit(3)
    listener = socket.socket(fileno=int(os.environ["PHASEGATE_LISTEN_FD"]))
    while True:
        accepted, address = listener.accept()
        with accepted:
            accepted.settimeout(1.0)
            try:
                Answer(accepted, address, None)  # type: ignore[arg-type]
            except OSError:
                continue
