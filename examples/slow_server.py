"""A local web server that takes its time: the outside world of the I/O-bound examples."""
import http.server
import json
import threading
import time


class SlowServer:
    """Serves /records/<n>?<seconds>, a JSON list, after so many seconds. A context manager; binds a free port."""

    def __init__(self):
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="slow-server", daemon=True)

    def url(self, number, seconds):
        return f"http://127.0.0.1:{self._server.server_port}/records/{number}?{seconds}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256  # all examples may knock at once
    daemon_threads = True


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name, seconds = self.path.rsplit("/", 1)[1].split("?")
        number = int(name)
        time.sleep(float(seconds))
        body = json.dumps([[number + i / 8, i + 1] for i in range(400)]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet: the terminal belongs to the table."""
