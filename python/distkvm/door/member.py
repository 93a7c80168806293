# SPDX-License-Identifier: GPL-2.0-or-later
"""A member that is this program: the last node of a cluster, whose part in the
protocol is to join, to answer pings, and to say whatever a test wants."""

import base64
import contextlib
import secrets
import threading
import time

from .. import wire
from ..common import Problem
from .common import PATIENCE, proved
from ..wire import Frame

LANES_MAX = 64


class Link(threading.Thread):
    """One connection: what comes is kept, and given to whoever answers."""

    def __init__(self, stream, read, heard):
        super().__init__(daemon=True)
        self.stream = stream
        self.read = read
        self.heard = heard
        self.kept = []
        self.closed = False
        self.lock = threading.Lock()
        self.start()

    def run(self):
        try:
            while True:
                said = self.read(self.stream)
                self.kept.append(said)
                self.heard(self, said)
        except (Problem, OSError, ValueError):
            self.closed = True

    def send(self, data):
        with self.lock, contextlib.suppress(Problem, OSError):
            self.stream.sendall(data)

    def wait_for(self, what, kind):
        """The first kept message of a type."""
        end = time.monotonic() + PATIENCE
        while True:
            for said in list(self.kept):
                if said.get('type') == kind:
                    return said
                if said.get('type') == 'refuse':
                    raise Problem(f'{what}: refused, {said}')
            if self.closed:
                raise Problem(f'{what}: closed; heard '
                              f"{[m.get('type') for m in self.kept]}")
            if time.monotonic() > end:
                raise Problem(f"{what}: no '{kind}' within {PATIENCE} s; "
                              f"heard {[m.get('type') for m in self.kept]}")
            time.sleep(0.01)

    def close(self):
        with contextlib.suppress(OSError):
            self.stream.close()


class Member:
    """Node `number` of a cluster without keys, whose other nodes are real."""

    def __init__(self, net, number, hello, peers=None):
        self.net = net
        self.number = number
        self.hello = hello
        self.peers = peers or [n for n in range(net.nodes) if n != number]
        self.control = {}
        # By peer and lane.
        self.lanes = {}
        # Cookie that a peer has to show when it opens a lane, by peer.
        self.cookie = {n: base64.b64encode(secrets.token_bytes(16)).decode()
                       for n in self.peers}
        # No answer to pings: what a node does whose engine hangs.
        self.deaf = False
        # Asks instead of answering, so that something is heard of it.
        self.silent = False
        # Frames of peers that are no pings.
        self.heard = []
        self.clock = 0
        # Root ports that it says to have; all take devices later.
        self.slots = 0
        # Messages to node 0 about devices of the start; and about devices that
        # came since, said before it has heard of the other nodes' devices.
        self.cold = []
        self.early = []
        # Does not say that those were all of the start, until tell_end().
        self.holds_end = False
        # Numbers of changes that it has not acknowledged, or None: it does.
        self.unacknowledged = None

    # ------------------------------------------------------------ joining

    def say_hello(self):
        """The first step: the peers know this node, and let it in."""
        for peer in self.peers:
            stream = proved(self.net, self.number, peer)
            link = Link(stream, wire.read_message, self.control_heard)
            self.control[peer] = link
            link.send(wire.message(**self.hello))
        for peer, link in self.control.items():
            link.wait_for(f'node {peer}', 'hello')

    def join(self):
        self.say_hello()
        for peer, link in self.control.items():
            link.send(wire.message(type='address', cookie=self.cookie[peer]))
        for peer, link in self.control.items():
            cookie = link.wait_for(f'node {peer}', 'address')['cookie']
            for lane in range(self.lane_count()):
                self.open_lane(peer, lane, cookie)
            link.send(wire.message(type='ready'))
        for peer, link in self.control.items():
            link.wait_for(f'node {peer}', 'ready')
        # The others tell of their devices when they have been reached.
        self.be_reached(0)
        for said in self.cold:
            self.control[0].send(wire.message(**said))
        if not self.holds_end:
            self.tell_end()
        for peer in self.control:
            if peer:
                self.be_reached(peer)
        # The guest starts when all nodes wish it; a node may not do so earlier.
        if not self.holds_end:
            self.control[0].send(wire.message(type='want-start'))

    def tell_end(self):
        self.control[0].send(wire.message(
            type='pci-end', slots=self.slots,
            hotplug=(2 << self.slots) - 2))
        for said in self.early:
            self.control[0].send(wire.message(**said))

    def be_reached(self, peer):
        self.control[peer].send(wire.message(type='reached'))
        self.control[peer].wait_for(f'node {peer}', 'reached')

    def lane_count(self):
        return int(self.hello['facts']['lanes (lanes=)'])

    def open_lane(self, peer, lane, cookie):
        stream = proved(self.net, self.number, peer)
        stream.sendall(wire.message(type='lane', node=self.number, lane=lane,
                                    cookie=cookie))
        said = wire.read_message(stream)
        if said['type'] != 'lane-taken':
            raise Problem(f'node {peer} answers to a lane: {said}')
        stream.settimeout(None)
        self.lanes[peer, lane] = Link(stream, wire.read_bunch,
                                      self.frames_heard)

    # ---------------------------------------------------------- answering

    def control_heard(self, link, said):
        if said.get('type') == 'ping' and self.silent:
            link.send(wire.message(type='ping', sent=0, boot=0))
        elif said.get('type') == 'ping':
            link.send(wire.message(type='pong', sent=said.get('sent', 0),
                                   boot=said.get('boot', 0),
                                   clock=self.clock))
        elif said.get('seq') and self.unacknowledged is not None:
            self.unacknowledged.append((link, said['seq']))
        elif said.get('seq'):
            # Of state that all share: the sender waits until we have it.
            link.send(wire.message(type='mirrored', seq=said['seq']))
        elif 'clock' in said:
            self.clock = said['clock']

    def frames_heard(self, link, frames):
        for frame in frames:
            self.clock = max(self.clock, frame.clock)
            if frame.type != wire.PING:
                self.heard.append(frame)
            if frame.type == wire.PING and frame.sub == wire.PING_ASK and \
                    not self.deaf:
                # It woke us: a thread that reads does nothing else.
                link.send(wire.bunch(self.frame(
                    wire.PING, wire.PING_ANSWER, epoch=frame.epoch, woke=1,
                    payload=frame.payload)))

    def acknowledge(self):
        """What was held back, and all that comes."""
        held, self.unacknowledged = self.unacknowledged, None
        for link, seq in held:
            link.send(wire.message(type='mirrored', seq=seq))

    # ------------------------------------------------------------- saying

    def frame(self, kind, sub=0, **fields):
        """A frame; fields are of the head, or of the body of its type."""
        _, names = wire.body_of(kind)
        body = {n: fields.pop(n) for n in names if n in fields}
        fields = {'sender': self.number, 'clock': self.clock, **fields}
        return Frame(kind, sub, body=body, **fields)

    def send(self, to, *frames, lane=0):
        """Frames, or bytes that are none, in one bunch."""
        self.lanes[to, lane].send(wire.bunch(*frames))

    def send_raw(self, to, data, lane=0):
        self.lanes[to, lane].send(data)

    def is_expelled(self):
        """Whether all real nodes have hung up, or say that we are lost."""
        return all(link.closed or any(
            m.get('type') == 'lost' and m.get('node') == self.number
            for m in link.kept) for link in self.control.values())

    def close(self):
        for link in [*self.control.values(), *self.lanes.values()]:
            link.close()
