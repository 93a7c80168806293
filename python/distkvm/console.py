# SPDX-License-Identifier: GPL-2.0-or-later
"""What a guest, or a host that is one, says on its console."""

import os
import re
import select
import time
from collections import deque

from .common import Problem

LOOK_SECONDS = 0.5
READ_BYTES = 1 << 16


class Console:
    """The guest's console: shown as it comes, and searched.

    With a cluster, a node that ends badly is noticed at once; the guest may say
    nothing more, and its node 0 stays."""

    def __init__(self, process, out=None, cluster=None):
        self.process = process
        self.out = out
        self.cluster = cluster
        self.pending = b''
        self.ready = deque()
        self.text = ''

    def check_nodes(self):
        for node, process in enumerate(self.cluster.process):
            if process and process.poll():
                raise Problem(f'node {node} has ended with status '
                              f'{process.poll()}; see '
                              f'{self.cluster.log(node)}')

    def read(self):
        """Wait a little for more; False at the end."""
        fd = self.process.stdout.fileno()
        if not select.select([fd], [], [], LOOK_SECONDS)[0]:
            if self.cluster:
                self.check_nodes()
            return True
        data = os.read(fd, READ_BYTES)
        *lines, self.pending = (self.pending + data).split(b'\n')
        if not data and self.pending:
            lines, self.pending = [self.pending], b''
        self.ready += (line.decode(errors='replace').replace('\r', '') + '\n'
                       for line in lines)
        return bool(data)

    def lines(self, end=None):
        """Lines as they come, until the time is `end`."""
        more = True
        while self.ready or (more and
                             (end is None or time.monotonic() < end)):
            if not self.ready:
                more = self.read()
                continue
            line = self.ready.popleft()
            self.text += line
            if self.out:
                self.out.write(line)
                self.out.flush()
            yield line

    def until(self, pattern, timeout):
        """Read until a line matches; the match."""
        for line in self.lines(time.monotonic() + timeout):
            found = re.search(pattern, line)
            if found:
                return found
        raise Problem(f"the guest did not say '{pattern}'")

    def drain(self):
        for _ in self.lines():
            pass
