"""The lab's payments: takes charges that were signed less than a minute ago, as whoever fears replay does."""

import http.server
import logging
import sys
import time

log = logging.getLogger("pay")
# How far the time of signing may be from our own, in seconds.
FRESH = 60


class Charge(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        age = time.time() - float(self.headers["Signed-At"])
        if abs(age) > FRESH:
            log.error("charge refused: signature was made %.0f s from now", age)
            self.answer(401, b"signature is not fresh\n")
        else:
            self.answer(200, b"charged\n")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    Server(("", int(sys.argv[1])), Charge).serve_forever()
