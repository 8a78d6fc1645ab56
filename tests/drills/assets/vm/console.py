"""Runs shell lines that come over a serial port which only the lab holds the other end of, one at a time.

A request is a line of JSON with `id`, `line` and `seconds`; the answer is one with `id`, `code`, `stdout` and
`stderr`. A line that is not over in time is killed with all that it started, and answered with the code 124. An
empty line is answered by nothing: it ends what a request that broke off may have left in the pipe.
"""

import json
import os
import signal
import subprocess
import sys
import time

# Most that is answered of either output, in bytes.
LIMIT = 1024 * 1024


def run(line, seconds):
    child = subprocess.Popen(
        ["sh", "-c", line],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        stdout, stderr = child.communicate(timeout=seconds)
        code = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        stdout, stderr = child.communicate()
        code = 124
    text = [out[:LIMIT].decode(errors="replace") for out in (stdout, stderr)]
    return {"code": code, "stdout": text[0], "stderr": text[1]}


def main():
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.1)
    with open(sys.argv[1], "r+b", buffering=0) as port:
        pending = b""
        while True:
            piece = port.read(65536)
            if not piece:
                # Nobody holds the other end just now.
                time.sleep(0.1)
                continue
            *lines, pending = (pending + piece).split(b"\n")
            for line in filter(None, lines):
                try:
                    asked = json.loads(line)
                except ValueError:
                    continue
                answer = {"id": asked["id"], **run(asked["line"], asked["seconds"])}
                rest = memoryview(json.dumps(answer).encode() + b"\n")
                while rest:
                    rest = rest[port.write(rest) :]


if __name__ == "__main__":
    main()
