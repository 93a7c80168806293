# SPDX-License-Identifier: GPL-2.0-or-later
"""Strangers who lack the key: whatever bytes they say, nothing is told to
them, nothing changes, and the real node joins."""

import base64
import contextlib
import json
import random
import re
import socket
import time
import struct
import subprocess
import sys

import pytest

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import (HEADLESS, PATIENCE, check_calm,
                                 check_told_nothing, first_said, formed,
                                 heard_until_closed, join, knock, log_of,
                                 qtest_cluster, real_hello, start_waiting,
                                 wait_said, waiting)
from distkvm.network import listening_ports
from naming import cases, named

pytestmark = pytest.mark.overlaps

NETS = ('psk', 'x509', 'unix')

# Bytes that UCX's TCP transport takes from anybody: its magic, a request to
# connect, then bytes for any address of the receiver's memory.
UCX_MAGIC = bytes.fromhex('78563412bebafeca')
UCX_CONNECT = (bytes.fromhex('201d0000000100000000') + bytes(8) +
               struct.pack('<HH', 2, 0) + bytes(4) + bytes(8))
PUT_DATA = b'distkvm: written by you!'


def ucx_put(address):
    head = struct.pack('<QQI', address, len(PUT_DATA), 1)
    return b'\x21' + struct.pack('<I', len(head)) + head + PUT_DATA


def host_address(cluster, node, guest_address=0x10000):
    """Where a byte of the guest's RAM lies in the node's process."""
    text = cluster.qmp(node).execute(
        'human-monitor-command', **{'command-line':
                                    f'gpa2hva {guest_address:#x}'})
    found = re.search(r'is (0x[0-9a-f]+)', text)
    if not found:
        raise Problem(f'gpa2hva says {text}')
    return int(found.group(1), 16)


def written(cluster, node, address):
    with open(f'/proc/{cluster.process[node].pid}/mem', 'rb', 0) as memory:
        memory.seek(address)
        try:
            return memory.read(len(PUT_DATA)) == PUT_DATA
        except OSError:
            # The page is not there: nothing is in it.
            return False


@cases('name, net, options', {
    **{f"door: UCX's PUT to every port, {net}": (f'put-{net}', net, '')
       for net in NETS},
    "door: UCX's PUT to every port, psk between hosts":
        ('put-hosts', 'psk', ',transport=tls')})
def test_put(name, net, options):
    """UCX's magic and its PUT, to every port that nodes listen on; and those
    are the ports of peers=, no others."""
    with formed(name, net=net, options=options) as cluster:
        for node in (0, 1):
            pid = cluster.process[node].pid
            ports = listening_ports(pid)
            wanted = [] if net == 'unix' else [cluster.net.host_port(node)[1]]
            if sorted(set(ports)) != wanted:
                raise Problem(f'node {node} listens on {ports}, not {wanted}')
            address = host_address(cluster, node)
            for said, heard in knock(
                    cluster, node, UCX_MAGIC, UCX_MAGIC + UCX_CONNECT,
                    UCX_MAGIC + UCX_CONNECT + ucx_put(address),
                    ucx_put(address)):
                if heard or heard is None:
                    raise Problem(f'the node answers {heard} to {said}')
            if written(cluster, node, address):
                raise Problem('the stranger wrote into the guest')
        check_calm(cluster, (0, 1))


def message_of(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack('>I', len(data)) + data


# Nothing of this says more than a stranger may; some of it is near.
GARBAGE = [
    b'GET / HTTP/1.0\r\n\r\n', b'\xff' * 64, b'\0' * 64, b'\0\0',
    wire.MAGIC, wire.MAGIC + b'\2\1\1' + bytes(5),
    wire.MAGIC + b'\1\7\1' + bytes(5), wire.greeting('insecure', 1),
    wire.greeting('psk', 0), wire.greeting('unix', 77),
    b'\x16\x03\x01\0\5hello',
    message_of('{"type": "hello"}'),
]
# Bytes of a stranger that greets rightly, and proves nothing after.
AFTER_GREETING = [
    b'', b'\xff' * 64, message_of(''), message_of('{'), message_of('[]'),
    message_of('{"type": 1}'), message_of('{"type": "hello"}'),
    message_of('{"type": "map"}'), message_of('{"type": "address"}'),
    message_of('{"type": "' + 'a' * 20000 + '"}'), message_of('[' * 5000),
    struct.pack('>I', 100) + b'{"type"', struct.pack('>I', 0xffffffff),
    b'\x16\x03\x01\0\x05hello', b'\x16\x03\x03\xff\xff' + bytes(4096),
]


@cases('net', {f'door: garbage, {net}': net for net in NETS})
def test_garbage(net):
    """Bytes of all kinds at a node that waits, then at one that has joined."""
    greeting = wire.greeting(net, 1)
    said = GARBAGE + [greeting + data for data in AFTER_GREETING]
    if net == 'unix':
        # There a greeting is all that is asked of the same user.
        said = GARBAGE
    with waiting(f'garbage-{net}', net) as cluster:
        check_told_nothing(knock(cluster, 0, *said))
        check_calm(cluster, (0,))
        join(cluster)
        for node in (0, 1):
            check_told_nothing(knock(cluster, node, *said))
        check_calm(cluster, (0, 1))


# From one who needs no key, since the user said so.
NO_HELLOS = [
    b'{', b'[]', b'{"type": 1}', b'{"type": "hello"}',
    b'{"type": "hello", "magic": "distkvm", "node": "x", "facts": 1}',
    b'{"type": "hello", "magic": "distkvm", "node": 99, "facts": {}}',
    b'{"type": "hello", "magic": "distkvm", "node": 1, "facts": '
    b'{"protocol version": "999\\u001b[2J"}}',
    b'{"type": "hello", "magic": "distkvm", "node": 1, "facts": '
    b'{"protocol version": "' + b'9' * 12000 + b'"}}',
    b'{"type": "map"}', b'{"type": "address", "ucx": "!!"}',
    b'{"type": "lane", "node": 1, "lane": 0, "cookie": "00"}',
    b'{"type": "lane", "node": 77, "lane": -5, "cookie": 7}',
    b'{"type": "' + b'a' * 20000 + b'"}', b'[' * 5000,
]


@named('door: no hellos')
def test_no_hello():
    """Without keys: what is no right hello is refused, and named."""
    with waiting('no-hello', 'insecure') as cluster:
        greeting = wire.greeting('insecure', 1)
        # One after another: not all refusals of a second are told.
        for hello in NO_HELLOS:
            for said, heard in knock(cluster, 0, greeting + message_of(hello)):
                if heard is None:
                    raise Problem(f'the node keeps the connection of {said}')
        check_calm(cluster, (0,))
        join(cluster)
        log = log_of(cluster, 0)
        if 'protocol version differs' not in log:
            raise Problem('another protocol version was not named')
        if '\x1b' in log:
            raise Problem("a peer's words command the terminal")
        longest = max(map(len, log.splitlines()[1:]))
        if longest > 2000:
            raise Problem(f'a line of the log has {longest} characters')


@cases('net', {f'door: a forged hello, {net}': net
               for net in ('psk', 'x509')})
def test_forged(net):
    """A true hello, in the clear, by somebody who lacks the key: as it was
    said, and with another number."""
    with waiting(f'forged-{net}', net, nodes=3) as cluster:
        # The facts of node 2 are no secret to an attacker with a node.
        with qtest_cluster(f'forged-{net}-own', 3) as own:
            hello = real_hello(own, 2)
        for node in (1, 2):
            said = wire.message(**{**hello, 'node': node})
            check_told_nothing(knock(cluster, 0, said, *(
                wire.greeting(kind, node) + said
                for kind in (net, 'insecure', 'unix'))))
        states = [n['state'] for n in cluster.info(0)['nodes']]
        if states != ['self', 'absent', 'absent']:
            raise Problem(f'somebody took a place: {states}')
        join(cluster)


@cases('net', {f'door: a replayed hello, {net}': net
               for net in ('psk', 'x509')})
def test_replayed(net):
    """What a node sent that has the key, said again by one who has not."""
    def flight(stream):
        said = wire.take(stream, wire.GREETING.size)
        stream.sendall(wire.greeting(net, 0))
        return said + stream.recv(4096)

    with qtest_cluster(f'replayed-{net}', net=net) as cluster:
        said = first_said(cluster, 1, flight)
        start_waiting(cluster)
        check_told_nothing(knock(cluster, 0, said, said + said))
        check_calm(cluster, (0,))
        join(cluster)


OTHER_USER = '''
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
s = socket.socket(socket.AF_UNIX)
s.settimeout(15)
try:
    s.connect(sys.argv[1])
    s.sendall(bytes.fromhex(sys.argv[2]))
    while data := s.recv(4096):
        sys.stdout.buffer.write(data)
except TimeoutError:
    sys.exit(3)
except OSError:
    pass
'''


@pytest.mark.root('another user')
@named('door: another user of the host')
def test_other_user():
    """Another user of this host, though somebody opened the directory to him:
    his number is not the node's, and so he is told nothing."""
    with waiting('other-user', 'unix') as cluster:
        hello = wire.message(type='hello')
        cluster.net.directory.chmod(0o755)
        cluster.net.socket(0).chmod(0o666)
        result = subprocess.run(
            [sys.executable, '-c', OTHER_USER, str(cluster.net.socket(0)),
             (wire.greeting('unix', 1) + hello).hex()], capture_output=True,
            check=False)
        if result.returncode:
            raise Problem(f'{result.returncode}: {result.stderr.decode()}')
        check_told_nothing([(b'another user', result.stdout)])
        cluster.net.directory.chmod(0o700)
        join(cluster)


@named('door: a directory that others may enter')
def test_open_directory():
    """A directory that others may enter is refused, in one line."""
    with qtest_cluster('directory') as cluster:
        cluster.net.directory.chmod(0o755)
        process = cluster.start(0, HEADLESS)
        if process.wait(PATIENCE) != 1:
            raise Problem(f'it ended with {process.returncode}')
        wait_said(cluster, 0, str(cluster.net.directory))


def mutated(chance, data):
    """These bytes, some of them changed, and never none."""
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8))):
        at = chance.randrange(len(data) + 1)
        how = chance.randrange(4)
        if how == 0:
            data[at:at + 1] = chance.randbytes(1)
        elif how == 1:
            data[at:at + 1] = bytes([1 << chance.randrange(8)])
        elif how == 2:
            del data[at:at + chance.randrange(1, 20)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(1, 20))
    return bytes(data) or b'{'


def mutations(count, address):
    """Messages with a malformed address: the text is, or what is in it."""
    chance = random.Random(1)
    for n in range(count):
        if n % 4 == 0:
            yield mutated(chance, json.dumps(address).encode())
            continue
        name = chance.choice([key for key in address if key != 'type'])
        inside = mutated(chance, base64.b64decode(address[name]))
        yield json.dumps({**address, name: base64.b64encode(
            inside).decode()}).encode()


@cases('transport, net', {
    f'door: a malformed address, {transport}': (transport, net)
    for transport, net in (('tls', 'insecure'), ('shm', 'psk'),
                           ('ucx', 'psk'))})
def test_mutated_address(transport, net, full, note):
    """A malformed address harms no waiting node: a stranger's is not looked at,
    and a peer's, who may be anybody without keys, is refused.

    UCX trusts the address of a member, which has proved itself: so with shm
    and ucx there is nothing to send without the key."""
    count = 1000 if full or net == 'insecure' else 100
    with qtest_cluster(f'address-{transport}', net=net,
                       options=f',transport={transport}') as cluster:
        hello = {'type': 'hello', 'magic': 'distkvm', 'node': 1, 'facts': {}}
        address = {'type': 'address', 'cookie': base64.b64encode(
            bytes(16)).decode(), 'ucx': base64.b64encode(bytes(150)).decode()}
        if net == 'insecure':
            hello = real_hello(cluster, 1)
        start_waiting(cluster)
        if net == 'insecure':
            address = address_after(cluster, hello)
        for n, data in enumerate(mutations(count, address)):
            with contextlib.suppress(OSError), \
                    cluster.net.connect(0) as stream:
                stream.sendall(wire.greeting(net, 1) +
                               wire.message(**hello) + message_of(data))
                # It reads all of it, then sees that no more comes.
                stream.shutdown(socket.SHUT_WR)
                heard_until_closed(stream)
            status = cluster.process[0].poll()
            if status is not None:
                raise Problem(f'node 0 ended with {status} after {n + 1}: '
                              f'{data}')
            # Of a second's refusals few are written: it takes some seconds.
            if n % 100 == 99:
                time.sleep(0.4)
        check_calm(cluster, (0,))
        if ('malformed address' in log_of(cluster, 0)) != (net == 'insecure'):
            raise Problem('an address was looked at without a key, or was not '
                          'with none')
        join(cluster)
        note(f'{count} addresses')


def address_after(cluster, hello):
    """What node 0 answers to a right hello: an address, as ours could be."""
    with cluster.net.connect(0) as stream:
        wire.greet(stream, 'insecure', 1)
        stream.sendall(wire.message(**hello))
        said = wire.read_message(stream)
        if said['type'] != 'hello':
            raise Problem(f'node 0 says {said}')
        while said['type'] != 'address':
            said = wire.read_message(stream)
        return said
