"""The lab's till: signs a charge with the time and sends it over a connection of its own, so many times a second.

Each failure is logged, and counts are kept in a file.
"""

import concurrent.futures
import json
import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.request

log = logging.getLogger("till")


def charge(url):
    """None when the charge was taken, else the reason in a few words."""
    signed = {"Signed-At": f"{time.time():.3f}"}
    try:
        request = urllib.request.Request(url, data=b"{}", headers=signed)
        with urllib.request.urlopen(request, timeout=5) as response:
            response.read()
        return None
    except urllib.error.HTTPError as error:
        return f"HTTP {error.code}"
    except Exception as error:
        return str(getattr(error, "reason", error))


def main():
    url, rate, counts_path = sys.argv[1], float(sys.argv[2]), sys.argv[3]
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    lock = threading.Lock()
    counts = {"ok": 0, "failed": 0}

    def write():
        with open(counts_path + ".new", "w") as file:
            json.dump(counts, file)
        os.rename(counts_path + ".new", counts_path)

    def send():
        reason = charge(url)
        with lock:
            counts["ok" if reason is None else "failed"] += 1
            write()
        if reason is not None:
            log.error("charge failed: %s", reason)

    write()
    workers = concurrent.futures.ThreadPoolExecutor(max_workers=32)
    begun, sent = time.monotonic(), 0
    while True:
        workers.submit(send)
        sent += 1
        time.sleep(max(0.0, begun + sent / rate - time.monotonic()))


if __name__ == "__main__":
    main()
