# SPDX-License-Identifier: GPL-2.0-or-later
"""The bytes between nodes, for programs that speak with one node without
being one; docs/wire-format.rst."""

import contextlib
import json
import os
import socket
import struct
from dataclasses import dataclass, field

from .common import Problem

# First words of both ends: the security of the connection, and their number.
GREETING = struct.Struct('<8sBBH4x')
MAGIC = b'DISTKVM\0'
GREETING_VERSION = 1
SECURITY = {'insecure': 0, 'psk': 1, 'x509': 2, 'unix': 3}

LENGTH = struct.Struct('>I')
MESSAGE_MAX = 1 << 20

HEAD = struct.Struct('<2sBBBBHIIq')
BUNCH_LENGTH = struct.Struct('<I')
FRAME_MAGIC = b'DK'
FRAME_VERSION = 16
NODE_NONE = 0xffff
(COH, IRQ, EOI, IO, IO_REPLY, TOKEN, PING, LATE, PIC, PIC_ACK,
 PIC_VECTOR, FLUSH, PCI_CONFIG, PCI_CHANGED, PCI_LINE,
 PCI_RESET, PCI_MSI) = range(1, 18)
# Bodies, by type: docs/wire-frames.rst.
BODY = {
    COH: ('<QQHHhBx', 'page version more requester acks zero'),
    IRQ: ('<IBB', 'cpu vector level'),
    EOI: ('<B', 'vector'),
    IO: ('<QQQIBB', 'call addr data cpu space size'),
    IO_REPLY: ('<QQIQ', 'call data result irqs'),
    PING: ('<B', 'woke'),
    LATE: ('<QQ', 'page heard'),
    PIC: ('<IB', 'seq level'),
    PIC_ACK: ('<Q', 'call'),
    PIC_VECTOR: ('<QIBB', 'call seq vector level'),
    FLUSH: ('<Q', 'count'),
    PCI_CONFIG: ('<QQIHBB', 'call generation data addr devfn size'),
    PCI_CHANGED: ('<QI', 'call data'),
    PCI_LINE: ('<QBB', 'generation devfn level'),
    PCI_RESET: ('<QB', 'generation devfn'),
    PCI_MSI: ('<QIIB', 'generation addr data devfn'),
}
PING_ASK, PING_ANSWER = 1, 2
FLUSH_ASK, FLUSH_SERVED = 1, 2
IO_READ, IO_WRITE = 1, 2
PAGE = 4096


class Closed(Problem):
    """The other end has closed the connection."""


def greeting(kind, node):
    return GREETING.pack(MAGIC, GREETING_VERSION, SECURITY[kind], node)


def take(stream, count):
    """So many bytes of a socket, or of what secures one."""
    data = b''
    while len(data) < count:
        try:
            more = stream.recv(count - len(data))
        except ConnectionError as error:
            raise Closed(str(error)) from None
        if not more:
            raise Closed(f'closed after {len(data)} of {count} bytes')
        data += more
    return data


def greet(stream, kind, node):
    """Say who we are, and hear that the other end is of our kind."""
    stream.sendall(greeting(kind, node))
    magic, version, security, _ = GREETING.unpack(take(stream, GREETING.size))
    if (magic, version, security) != (MAGIC, GREETING_VERSION,
                                      SECURITY[kind]):
        raise Problem(f'the node greets with {magic} {version} {security}')


def message(**fields):
    text = json.dumps(fields).encode()
    return LENGTH.pack(len(text)) + text


def read_message(stream):
    length, = LENGTH.unpack(take(stream, LENGTH.size))
    if length > MESSAGE_MAX:
        raise Problem(f'a message of {length} bytes')
    return json.loads(take(stream, length))


def body_of(kind):
    """What packs a type's body, and the names of its members."""
    layout, names = BODY.get(kind, ('<', ''))
    return struct.Struct(layout), names.split()


@dataclass
class Frame:
    """One frame, by default one that harms nobody.  What `body` does not say
    is zero; `cut` bytes of the packed body are left out."""
    type: int = PING
    sub: int = PING_ASK
    sender: int = 0
    clock: int = 0
    epoch: int = 0
    spare: int = 0
    payload: bytes = b''
    body: dict = field(default_factory=dict)
    cut: int = 0

    def pack(self):
        layout, names = body_of(self.type)
        default = {'requester': NODE_NONE}
        said = layout.pack(*(self.body.get(name, default.get(name, 0))
                             for name in names))
        rest = said[:len(said) - self.cut] + self.payload
        return HEAD.pack(
            FRAME_MAGIC, FRAME_VERSION, self.type, self.sub, self.spare,
            self.sender, len(rest), self.epoch, self.clock) + rest


def bunch(*frames):
    data = b''.join(f.pack() if isinstance(f, Frame) else f for f in frames)
    return BUNCH_LENGTH.pack(len(data)) + data


def read_bunch(stream):
    """The frames of one bunch, in order."""
    length, = BUNCH_LENGTH.unpack(take(stream, BUNCH_LENGTH.size))
    data, frames = take(stream, length), []
    while data:
        (_, _, kind, sub, spare, sender, size, epoch,
         clock) = HEAD.unpack(data[:HEAD.size])
        rest, data = (data[HEAD.size:HEAD.size + size],
                      data[HEAD.size + size:])
        layout, names = body_of(kind)
        body = dict(zip(names, layout.unpack(rest[:layout.size])))
        frames.append(Frame(kind, sub, sender, clock, epoch, spare,
                            rest[layout.size:], body))
    return frames


@contextlib.contextmanager
def listening(net, node):
    """A socket where a node of this number would await its peers."""
    if net.kind == 'unix':
        path = net.socket(node)
        listener = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        listener.listen()
    else:
        listener = socket.create_server(net.host_port(node))
    try:
        yield listener
    finally:
        listener.close()
        if net.kind == 'unix' and os.path.exists(path):
            path.unlink()


def dialed_hello(stream, kind):
    """What a node says that has dialed us, and takes us for node 0."""
    take(stream, GREETING.size)
    stream.sendall(greeting(kind, 0))
    return read_message(stream)
