# SPDX-License-Identifier: GPL-2.0-or-later
"""A network that a test can damage: it stands where a node listens, and hands
on what comes, until it is told not to.

Nodes of one host meet by the names of sockets, so nothing need be configured:
the node's own socket is renamed, and this listens under its name."""

import contextlib
import socket
import threading
import time

from .. import wire
from ..common import Problem

# Name of a connection that is no lane.
CONTROL = 'control'
READ_BYTES = 1 << 16
# From the node that dialed, and to it.
UP, DOWN = 'up', 'down'


class Connection(threading.Thread):
    """One connection between two nodes."""

    def __init__(self, proxy, near, far):
        super().__init__(daemon=True)
        self.proxy = proxy
        self.near, self.far = near, far
        self.kind = None
        self.closed = False
        # The largest bunch of a lane that went each way.
        self.largest = {UP: 0, DOWN: 0}
        self.start()

    def run(self):
        try:
            self.kind = self.begin()
        except (Problem, OSError, ValueError):
            self.close()
            return
        down = threading.Thread(target=self.pump, daemon=True,
                                args=(self.far, self.near, DOWN))
        down.start()
        self.pump(self.near, self.far, UP)
        down.join()

    def begin(self):
        """Hand on what both say first; what the connection is for."""
        self.far.sendall(wire.take(self.near, wire.GREETING.size))
        self.near.sendall(wire.take(self.far, wire.GREETING.size))
        said = wire.read_message(self.near)
        self.far.sendall(wire.message(**said))
        if said['type'] != 'lane':
            return CONTROL
        self.near.sendall(wire.message(**wire.read_message(self.far)))
        return said['lane']

    def next_piece(self, source):
        """What goes on, or is stopped, as one: of a lane, a bunch."""
        if self.kind == CONTROL:
            data = source.recv(READ_BYTES)
            if not data:
                raise wire.Closed('closed')
            return data
        head = wire.take(source, wire.BUNCH_LENGTH.size)
        return head + wire.take(source, *wire.BUNCH_LENGTH.unpack(head))

    def pump(self, source, target, way):
        with contextlib.suppress(Problem, OSError):
            while not self.closed:
                piece = self.next_piece(source)
                self.largest[way] = max(self.largest[way], len(piece))
                while self.proxy.stops(self.kind, way, len(piece)):
                    if self.closed:
                        return
                    time.sleep(0.02)
                target.sendall(piece)
        self.close()

    def close(self):
        self.closed = True
        for stream in (self.near, self.far):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
            stream.close()


class Proxy(threading.Thread):
    """Stands before a node that listens, and whom nobody has dialed."""

    def __init__(self, net, node):
        super().__init__(daemon=True)
        self.name_there = net.socket(node)
        self.real = self.name_there.with_suffix('.real')
        self.name_there.rename(self.real)
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.name_there))
        self.listener.listen(64)
        self.connections = []
        # Traffic that is stopped: kinds, ways, and bytes that still pass.
        self.kinds, self.ways, self.passes = (), (), 0
        self.start()

    def run(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(str(self.real))
                self.connections.append(Connection(self, near, far))

    def stops(self, kind, way, size):
        return kind in self.kinds and way in self.ways and size > self.passes

    def cut(self, kinds, ways, passes=0):
        """From now on what is larger waits for ever, and all behind it."""
        self.passes, self.ways, self.kinds = passes, ways, kinds

    def lanes(self):
        return [c for c in list(self.connections)
                if c.kind not in (None, CONTROL)]

    def largest(self, way):
        return max([c.largest[way] for c in self.lanes()], default=0)

    def close(self):
        self.listener.close()
        for connection in list(self.connections):
            connection.close()
