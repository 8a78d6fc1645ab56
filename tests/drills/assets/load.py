"""The lab's customers: a steady rate of requests, each failure logged, counts kept in a file.

Open loop: a slow answer does not slow the next request down, as customers do not wait for each other.
"""

import collections
import concurrent.futures
import json
import logging
import os
import sys
import threading
import time
import urllib.error
import urllib.request

log = logging.getLogger("load")


def fetch(url):
    """None when the request was answered well, else the reason in a few words."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
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
    counts = collections.Counter(sent=0, ok=0, failed=0)

    def request():
        reason = fetch(url)
        with lock:
            counts["ok" if reason is None else "failed"] += 1
        if reason is not None:
            log.error("request failed: %s", reason)

    workers = concurrent.futures.ThreadPoolExecutor(max_workers=128)
    begun = time.monotonic()
    written = begun
    while True:
        counts["sent"] += 1
        workers.submit(request)
        now = time.monotonic()
        if now - written >= 0.5:
            written = now
            with lock:
                text = json.dumps(counts)
            with open(counts_path + ".new", "w") as file:
                file.write(text)
            os.rename(counts_path + ".new", counts_path)
        time.sleep(max(0.0, begun + counts["sent"] / rate - time.monotonic()))


if __name__ == "__main__":
    main()
