"""An HTTP server that answers with the path, once something has happened: `python -m tests.bench.echo_server SECONDS`."""
import http.server
import sys
import time


class EchoServer(http.server.ThreadingHTTPServer):
    """Calls ``before()`` in a request's thread, then answers. On a free port of this host."""

    request_queue_size = 1024  # all of a measurement's requests may come at once

    def __init__(self, before):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.before = before

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.before()
        body = self.path.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def main(seconds):
    with EchoServer(lambda: time.sleep(seconds)) as server:
        print(server.url, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(float(sys.argv[1]))
