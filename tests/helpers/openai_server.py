"""A server on loopback that speaks the OpenAI protocol for chats, and answers as a row of a matrix."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = "sk-0123456789abcdef"
OK, BUSY, SLOW = 200, 429, 0
PATIENCE = 1  # seconds that the client waits; SLOW is longer


class Server:
    """respond(number of the request, from 1) says how: OK, BUSY or SLOW.

    answers  {question: right}; a right answer is the question's number, a wrong one "?"
    calls    (question, how) of each request that had the key
    """

    def __init__(self, answers: dict[str, int], respond: Callable[[int], int] = lambda number: OK):
        self.answers, self.respond = answers, respond
        self.calls: list[tuple[str, int]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.headers["Authorization"] != f"Bearer {KEY}" or self.path != "/v1/chat/completions":
                    return self._send(401, {"error": {"message": f"{self.headers['Authorization']} is no key"}})
                question = request["messages"][-1]["content"].rstrip("?")
                how = server.respond(len(server.calls) + 1)
                server.calls.append((question, how))
                if how == SLOW:
                    time.sleep(2 * PATIENCE)
                if how == BUSY:
                    return self._send(BUSY, {"error": {"message": "too many requests"}})
                said = question.rpartition("/")[2] if server.answers[question] else "?"
                self._send(OK, {"choices": [{"index": 0, "message": {"role": "assistant", "content": said}}]})

            def _send(self, code, content):
                body = json.dumps(content).encode()
                try:
                    self.send_response(code)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # the client has lost its patience

            def log_message(self, *_):
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1/chat/completions"

    def __enter__(self):
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._http.shutdown()
        self._http.server_close()
