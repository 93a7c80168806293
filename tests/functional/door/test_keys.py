# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes with the wrong key: each is refused, both sides say why, and the
right one joins after."""

import contextlib
import json
import subprocess

import pytest

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import (HEADLESS, PATIENCE, check_calm, hear, join,
                                 log_of, proved, qtest_cluster, start_waiting,
                                 until, wait_said, waiting)
from distkvm.keys import Authority, make_psk
from distkvm.network import Network, connections
from naming import cases, named

pytestmark = pytest.mark.overlaps

# certtool's words for a certificate of the past.
EXPIRED = 'activation_date = "2001-01-01 00:00:00"\n' \
    'expiration_date = "2001-02-01 00:00:00"\n'


def check_shut(cluster, **keys):
    """A program with these keys is told no message."""
    heard = b''
    with contextlib.suppress(Problem, OSError):
        # With TLS 1.3 it may learn only after its handshake that it failed.
        with proved(cluster.net, 1, 0, **keys) as stream:
            with contextlib.suppress(Problem, OSError):
                stream.sendall(wire.message(type='hello'))
            heard = hear(stream)
    if heard:
        raise Problem(f'somebody with the wrong key is told {heard[:80]}')


def wrong_node(cluster, directory, wanted, node=1):
    """A real node with these keys; node 0 says what is wrong with them, and
    the other whom it waits for in vain."""
    right = cluster.net.keys[node]
    cluster.net.keys[node] = directory
    process = cluster.start(node)
    cluster.net.keys[node] = right
    try:
        wait_said(cluster, 0, wanted)
        wait_said(cluster, node, 'node 0 (')
        check_calm(cluster, (0,))
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Problem('the refused node does not end') from None
        cluster.process[node] = None


@named('door: another shared key')
def test_wrong_psk():
    with waiting('keys-psk', 'psk') as cluster:
        directory = cluster.net.directory / 'other'
        key = make_psk(directory)
        check_shut(cluster, psk=key)
        wait_said(cluster, 0, 'TLS handshake')
        wrong_node(cluster, directory, 'TLS handshake')
        join(cluster)


@named('door: an expired certificate')
def test_expired():
    """QEMU does not start with such a certificate; another program does."""
    with waiting('keys-expired', 'x509') as cluster:
        net = cluster.net
        directory = net.authority.issue(net.directory / 'old',
                                        net.host_port(1)[0], EXPIRED)
        check_shut(cluster, x509=directory)
        # QEMU has the same words for all that GnuTLS does not trust.
        wait_said(cluster, 0, 'TLS handshake failed: The certificate is not')
        join(cluster)


@named('door: no certificate')
def test_no_certificate():
    with waiting('keys-none', 'x509') as cluster:
        check_shut(cluster, x509='')
        wait_said(cluster, 0, 'TLS handshake')
        join(cluster)


@named('door: a certificate of another authority')
def test_wrong_authority():
    """A certificate that another authority has signed."""
    with waiting('keys-ca', 'x509') as cluster:
        net = cluster.net
        other = Authority(net.directory / 'other-ca')
        directory = other.issue(net.directory / 'other',
                                net.host_port(1)[0], trusts=net.authority)
        check_shut(cluster, x509=directory)
        wait_said(cluster, 0, 'TLS handshake')
        # A node that trusts nobody else's dislikes the other's, too.
        wrong_node(cluster, other.issue(net.directory / 'other-whole',
                                        net.host_port(1)[0]),
                   'TLS handshake')
        join(cluster)


@named('door: a certificate that tls-authz excludes')
def test_not_authorized():
    """The authority has signed it, but tls-authz does not let it in."""
    with qtest_cluster('keys-authz', net='x509', nodes=3,
                       options=',tls-authz=guards') as cluster:
        names = [f'CN={cluster.net.host_port(n)[0]}' for n in range(3)]
        guards = ['-object', json.dumps({
            'qom-type': 'authz-list', 'id': 'guards', 'policy': 'deny',
            'rules': [{'match': name, 'policy': 'allow', 'format': 'exact'}
                      for name in names[:2]]})]
        start_waiting(cluster, guards)
        for node in (1, 2):
            cluster.start(node, guards)
        for node in (0, 1):
            wait_said(cluster, node, f'{names[2]} is denied')
        check_calm(cluster, (0, 1))
        if cluster.info(0)['formed']:
            raise Problem('it was let in')


@named("door: another node's certificate")
def test_other_number():
    """Node 1's certificate, shown by a program that says it is node 2."""
    with waiting('keys-number', 'x509', nodes=3) as cluster:
        net = cluster.net
        wrong_node(cluster, net.keys[1], 'Certificate does not match the '
                   f'hostname {net.host_port(2)[0]}', node=2)
        join(cluster)


# Kind of network, options, and the words of the refusal.
NO_KEYS = (
    ('none', '', ('tls-creds=', 'unix:', 'insecure=on')),
    ('none', ',tls-creds=nobody', ('nobody',)),
    ('none', ',tls-authz=nobody,insecure=on', ('tls-authz',)),
    ('psk', ',tls-authz=nobody', ('tls-authz',)),
    ('psk', ',insecure=on', ('insecure',)),
)


@cases('name, net, options, wanted', {
    f"door: refused with '{net}{options}'":
        (f'keys-missing-{number}', net, options, wanted)
    for number, (net, options, wanted) in enumerate(NO_KEYS)})
def test_without_keys(name, net, options, wanted):
    """What is not secure, or says two things at once, is refused at start in
    one line that names the way out."""
    with qtest_cluster(name, net=net, options=options) as cluster:
        process = cluster.start(0, HEADLESS)
        try:
            status = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Problem(f"it takes '{options}'") from None
        log = log_of(cluster, 0)
        if status != 1 or any(words not in log for words in wanted):
            raise Problem(f'exit status {status}: {log}')
        lines = [line for line in log.splitlines() if 'distkvm' in line]
        if len(lines) > 1:
            raise Problem(f'more than one line: {lines}')


@named('door: keys on one side only')
def test_differs():
    """One node with keys, one without: both greet, and both name it."""
    with waiting('keys-differ', 'psk') as cluster:
        right = cluster.net
        cluster.net = Network('insecure', 2, right.addresses)
        process = cluster.start(1)
        cluster.net.remove()
        cluster.net = right
        for node in (0, 1):
            wait_said(cluster, node, 'insecure=on')
        process.kill()
        process.wait()
        cluster.process[1] = None
        check_calm(cluster, (0,))
        join(cluster)


@named('door: a node that is started anew')
def test_rejoined():
    """A node that is started anew within dead-after-ms of its death, before
    the cluster formed, is let in: its place is not called taken for good."""
    with qtest_cluster('keys-again', nodes=3, net='psk') as cluster:
        start_waiting(cluster)
        for _ in range(3):
            process = cluster.start(1)
            until('node 1 is connected', lambda process=process:
                  connections(process.pid))
            process.kill()
            process.wait()
        cluster.start(1)
        cluster.start(2)
        cluster.wait_formed(PATIENCE)
        check_calm(cluster, range(3))
