"""So many connections to a service, opened one after the other and held without a word until we are ended."""

import socket
import sys
import time

host, port, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
held = []
while True:
    try:
        if len(held) < wanted:
            held.append(socket.create_connection((host, port), timeout=2))
            continue
    except OSError:
        pass
    time.sleep(0.5)
