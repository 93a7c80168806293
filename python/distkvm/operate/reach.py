# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a path between two hosts carries the frames of nodes.

A process listens in the place of nodes, and another host dials it.  Each sends
the other as many bytes as fill several packets of the greatest size: where a
smaller MTU is on the way, and the word of it does not come back, connections
come about and then stand still."""

import array
import contextlib
import fcntl
import platform
import socket
import sys
import termios
import threading
from concurrent.futures import ThreadPoolExecutor

from ..common import Problem
from .facts import host_port, listener_at

# The word of a process that listens, on its standard output.
LISTENING = 'listening'
DIAL_SECONDS = 5
THREADS = 16
# More than three packets of the greatest usual MTU, 9000; less than a socket
# takes that nobody reads yet.
PROBE_BYTES = 32 << 10
READ_BYTES = 1 << 16


def receive(peer, size):
    """Bytes, as many as come: size of them, or fewer if the peer ends."""
    left = size
    while left:
        data = peer.recv(min(left, READ_BYTES))
        if not data:
            break
        left -= len(data)
    return size - left


def answer(peer):
    """Take a probe, and send one back."""
    with contextlib.suppress(OSError), peer:
        peer.settimeout(DIAL_SECONDS)
        if receive(peer, PROBE_BYTES) == PROBE_BYTES:
            peer.sendall(bytes(PROBE_BYTES))


def serve(listener):
    """Answer each connection, until the process ends."""
    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=answer, args=(listener.accept()[0],),
                             daemon=True).start()


def listen(addresses):
    """Listen in the place of nodes, until standard input ends."""
    with contextlib.ExitStack() as stack:
        for address in addresses:
            listener, reason = listener_at(address)
            if reason:
                raise Problem(reason[0])
            stack.enter_context(listener)
            threading.Thread(target=serve, args=(listener,),
                             daemon=True).start()
        print(LISTENING, flush=True)
        sys.stdin.buffer.read()


def unacknowledged(peer):
    """Bytes that the other host has not confirmed."""
    count = array.array('i', [0])
    fcntl.ioctl(peer, termios.TIOCOUTQ, count)
    return count[0]


def probe(peer, address):
    """Why a connection does not carry large packets, or None."""
    size = peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
    try:
        peer.sendall(bytes(PROBE_BYTES))
        if receive(peer, PROBE_BYTES) == PROBE_BYTES:
            return None
        return (f'{address} ends a connection from {platform.node()}',
                'see what else listens there, or is on the way')
    except TimeoutError:
        way = (f'from {platform.node()} to {address}' if unacknowledged(peer)
               else f'from {address} to {platform.node()}')
    return (f'packets of {size} bytes do not get {way}, though small ones do',
            'give the interfaces of both hosts the MTU of the path (ip link '
            'set DEVICE mtu N), or let ICMP through the firewalls on it')


def dial_one(address):
    """Whether a connection to another node's place comes about, and carries
    large packets both ways."""
    try:
        with socket.create_connection(host_port(address),
                                      DIAL_SECONDS) as peer:
            return probe(peer, address)
    except TimeoutError:
        reason = f'does not answer within {DIAL_SECONDS} s'
    except (OSError, UnicodeError) as error:
        reason = f'cannot be reached ({error})'
    return (f'{address} {reason} from {platform.node()}',
            'let TCP through the firewall to that port, or write another '
            'address')


def dial(_, request):
    with ThreadPoolExecutor(THREADS) as pool:
        return {'dialed': dict(zip(request['addresses'], pool.map(
            dial_one, request['addresses'])))}
