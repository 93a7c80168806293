# SPDX-License-Identifier: GPL-2.0-or-later
"""Bytes for a reader that may not read: a guest that is stopped."""

import os

CHUNK = 1 << 12
# Bytes of a paste that wait for the reader; more are lost, or are not asked for.
WAITING_MAX = 1 << 20


class Outlet:
    """A descriptor, and bytes that it has not taken yet.  An OSError if it takes
    none any more."""

    def __init__(self, fd):
        self.fd = fd
        self.waiting = b''
        os.set_blocking(fd, False)

    @property
    def full(self):
        return len(self.waiting) >= WAITING_MAX

    def put(self, data):
        self.waiting += data
        self.flush()

    def flush(self):
        while self.waiting:
            try:
                count = os.write(self.fd, self.waiting[:CHUNK])
            except BlockingIOError:
                return
            self.waiting = self.waiting[count:]
