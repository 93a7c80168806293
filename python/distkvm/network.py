# SPDX-License-Identifier: GPL-2.0-or-later
"""How the nodes of a cluster on this host reach each other.

unix      sockets in a directory of their own: no TCP port at all (default)
psk       TCP on loopback, with a fresh shared key
x509      TCP on loopback, an address and a certificate for each node
insecure  TCP on loopback, for tests that speak with a node themselves
none      TCP without a word about keys, which nodes refuse"""

import contextlib
import ipaddress
import os
import random
import shutil
import socket
import sys
import tempfile
from pathlib import Path

from .common import Problem
from .keys import Authority, make_psk

KINDS = ('unix', 'psk', 'x509', 'insecure', 'none')
# The id of the object that holds a node's keys.
KEYS = 'distkvm-key'
# Below the ports that the kernel gives to any socket (32768 and up, by
# default): between choosing a port and listening there, connections are made.
PORTS = range(20000, 32000)
# As /proc/net/tcp has them.
TCP_LISTEN, TCP_ESTABLISHED = '0A', '01'


def free_ports(count):
    """Ports that nobody listens on now."""
    ports = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Problem(f'no {count} free ports in {PORTS}')


def address_of(end):
    """Address and port, which /proc/net/tcp has as words of this host."""
    words, _, port = end.rpartition(':')
    data = b''.join(int(words[at:at + 8], 16).to_bytes(4, sys.byteorder)
                    for at in range(0, len(words), 8))
    return str(ipaddress.ip_address(data)), int(port, 16)


def tcp_sockets(pid, wanted):
    """Both ends, each an address and a port, of a process's TCP sockets in a
    state, in whatever namespace it is."""
    sockets = set()
    for link in Path(f'/proc/{pid}/fd').iterdir():
        # It may be closed by now.
        with contextlib.suppress(OSError):
            sockets.add(os.readlink(link))
    found = []
    for name in ('tcp', 'tcp6'):
        table = Path(f'/proc/{pid}/net/{name}')
        for line in table.read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == wanted and f'socket:[{words[9]}]' in sockets:
                found.append(tuple(map(address_of, words[1:3])))
    return found


def listening_ends(pid):
    """Addresses and ports."""
    return [local for local, _ in tcp_sockets(pid, TCP_LISTEN)]


def listening_ports(pid):
    return [port for _, port in listening_ends(pid)]


def connections(pid):
    """Ports of both ends."""
    return [(local[1], remote[1])
            for local, remote in tcp_sockets(pid, TCP_ESTABLISHED)]


def key_options(kind):
    """Options of -accel distkvm for a kind of network."""
    return {'insecure': ',insecure=on', 'psk': f',tls-creds={KEYS}',
            'x509': f',tls-creds={KEYS}'}.get(kind, '')


def key_objects(kind, directory):
    """Arguments of QEMU that hold the keys in a directory."""
    return ['-object', f'tls-creds-{kind},id={KEYS},'
            f'dir={directory},endpoint=server'
            + (',verify-peer=on' if kind == 'x509' else '')]


class Network:
    """Addresses and keys of one cluster, in a directory that only we enter."""

    def __init__(self, kind, nodes, addresses=None):
        if kind not in KINDS:
            raise Problem(f"no network '{kind}'; there are {' '.join(KINDS)}")
        self.kind = kind
        self.nodes = nodes
        # Paths of UNIX sockets are short; a log directory may not be.
        self.directory = Path(tempfile.mkdtemp(prefix='distkvm-net-'))
        # Which directory of keys each node uses; tests give it others.
        self.keys = [None] * nodes
        self.psk = self.authority = None
        self.addresses = addresses or self.fresh_addresses()
        if kind == 'psk':
            self.psk = make_psk(self.directory / 'psk')
            self.keys = [self.directory / 'psk'] * nodes
        elif kind == 'x509':
            self.authority = Authority(self.directory / 'ca')
            self.keys = [
                self.authority.issue(self.directory / f'node-{n}',
                                     self.host_port(n)[0])
                for n in range(nodes)]

    def fresh_addresses(self):
        if self.kind == 'unix':
            return [f'unix:{self.socket(n)}' for n in range(self.nodes)]
        # A certificate is for a host, so there each node is one.
        return [f'127.0.0.{n + 1 if self.kind == "x509" else 1}:{port}'
                for n, port in enumerate(free_ports(self.nodes))]

    def socket(self, node):
        return self.directory / f'node-{node}.sock'

    def host_port(self, node):
        host, port = self.addresses[node].rsplit(':', 1)
        return host.strip('[]'), int(port)

    def connect(self, node, timeout=10):
        """A connection to where a node awaits its peers."""
        if self.kind == 'unix':
            stream = socket.socket(socket.AF_UNIX)
            stream.settimeout(timeout)
            stream.connect(str(self.socket(node)))
            return stream
        return socket.create_connection(self.host_port(node), timeout)

    def peers(self):
        """The value of peers=."""
        if self.kind == 'unix':
            return f'unix:{self.nodes}:{self.directory}'
        return '/'.join(self.addresses)

    def options(self):
        """Further options of -accel distkvm."""
        return key_options(self.kind)

    def objects(self, node):
        """Arguments of QEMU that hold a node's keys."""
        if not self.keys[node]:
            return []
        return key_objects(self.kind, self.keys[node])

    def words(self, node):
        """What the emulator of tests/qtest/distkvm is told of it."""
        if self.kind == 'x509':
            raise Problem('the emulator has keys of the kind psk only')
        if self.kind == 'psk':
            return [f'tls-dir={self.keys[node]}']
        return ['insecure=1'] if self.kind == 'insecure' else []

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)
