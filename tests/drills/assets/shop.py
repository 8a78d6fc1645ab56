"""The lab's application: every request writes one order and reads the latest ones back.

Ordinary in every way that matters to a diagnosis: a pool of database connections, errors logged with
their traceback, a configuration file read once at the start.
"""

import argparse
import json
import logging
import tomllib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2
from psycopg2.pool import ThreadedConnectionPool

log = logging.getLogger("shop")

TAX_RATES = {"standard": 19, "reduced": 7}


def tax_of(config, amount):
    """The tax on an amount of cents, by the rule that the configuration names."""
    return amount * TAX_RATES[config["tax_rule"]] // 100


class Orders:
    """The orders table behind a pool of connections; a broken connection is thrown away."""

    def __init__(self, settings):
        self.pool = ThreadedConnectionPool(
            0,
            settings["pool_size"],
            settings["dsn"],
            connect_timeout=3,
            options="-c statement_timeout=4000",
        )

    def place(self, amount, tax):
        connection = self.pool.getconn()
        broken = True
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO orders (amount, tax, note) VALUES (%s, %s, repeat('x', 400)) RETURNING id",
                    (amount, tax),
                )
                order = cursor.fetchone()[0]
                cursor.execute("SELECT id, amount, tax FROM orders ORDER BY id DESC LIMIT 5")
                latest = cursor.fetchall()
            broken = False
            return order, latest
        except psycopg2.Error:
            broken = connection.closed != 0
            raise
        finally:
            self.pool.putconn(connection, close=broken)


    def export(self):
        """Every order that there is, thousand by thousand; all of them are held until the last has come."""
        held = []
        while page := self.page(len(held)):
            held.append(page)
        return held

    def page(self, number):
        # Whoever wrote this forgot that there is an end.
        return [f"order {number * 1000 + row} {'x' * 400}" for row in range(1000)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.answer(200, {"status": "up"})
            return
        if self.path == "/export":
            self.answer(200, {"orders": len(self.server.orders.export())})
            return
        try:
            amount = 1999
            order, latest = self.server.orders.place(amount, tax_of(self.server.config, amount))
            self.answer(200, {"order": order, "latest": latest})
        except Exception:
            log.exception("request failed: %s", self.path)
            self.answer(500, {"error": "internal error"})

    def answer(self, status, body):
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_):
        """HAProxy keeps the access log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--config", required=True)
    with open(arguments.parse_args().config, "rb") as file:
        config = tomllib.load(file)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    server = Server(("0.0.0.0", config["port"]), Handler)
    server.config = config
    server.orders = Orders(config["database"])
    log.info("release %s listens on port %s", config["release"], config["port"])
    server.serve_forever()


if __name__ == "__main__":
    main()
