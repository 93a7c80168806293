# SPDX-License-Identifier: GPL-2.0-or-later
"""What a real guest touched, for the simulator."""

import re

from .common import Problem

FAULT = re.compile(r'distkvm_fault page 0x([0-9a-f]+) write ([01]) ')


def record_accesses(log_paths, out_path):
    """Turn the logs of nodes that ran with -trace distkvm_fault, node 0's
    first, into what coh-sim --trace reads; returns the number of accesses.

    Nodes have no common clock, and none is needed: the simulator takes each
    node's accesses in their order, and finds out itself how they interleave.
    """
    count = 0
    with open(out_path, 'w') as out:
        for node, path in enumerate(log_paths):
            with open(path, errors='replace') as log:
                for match in filter(None, map(FAULT.search, log)):
                    page = int(match.group(1), 16)
                    kind = 'w' if match.group(2) == '1' else 'r'
                    out.write(f'{node} {page} {kind}\n')
                    count += 1
    if not count:
        raise Problem('no node was traced with -trace distkvm_fault: '
                      f"{', '.join(str(p) for p in log_paths)}")
    return count
