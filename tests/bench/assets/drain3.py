"""Mines templates with Drain3 as it comes, without masking, and prints what it found as JSON.

drain3.py FILE: one line of a log per line, each of a system whose name stands before a tab. Prints the cluster
of each line, and the CPU time that mining took. Each system has a miner of its own.
"""

import json
import sys
import time

from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig


def main() -> None:
    with open(sys.argv[1], encoding="utf-8", errors="replace", newline="\n") as file:
        lines = [line.rstrip("\n").split("\t", 1) for line in file]
    config = TemplateMinerConfig()
    config.profiling_enabled = False
    miners, clusters = {}, []
    began = time.process_time()
    for system, text in lines:
        miner = miners.get(system)
        if miner is None:
            miner = miners[system] = TemplateMiner(config=config)
        clusters.append(miner.add_log_message(text)["cluster_id"])
    spent = time.process_time() - began
    json.dump({"clusters": clusters, "cpu_seconds": spent}, sys.stdout)


main()
