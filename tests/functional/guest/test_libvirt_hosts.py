# SPDX-License-Identifier: GPL-2.0-or-later
"""The domains of docs/libvirt on three hosts, each with libvirtd and sshd.

The guest is a boot sector, on a disk of node 0."""

import datetime
import json
import re
import time

import pytest

from distkvm import guests
from distkvm.common import QEMU, QEMU_IMG, TOP, Problem, quiet
from libvirtd import (PAUSED, RUNNING, SECONDS, answers, answers_at, console,
                      missing)
from naming import named
from operating import read_until
from virthosts import virthosts

pytestmark = [pytest.mark.full, pytest.mark.timeout(600),
              pytest.mark.root('namespaces, and libvirtd and sshd in them')]

EXAMPLE = TOP / 'docs' / 'libvirt' / 'three.toml'
IMAGES = '/var/lib/libvirt/images'
DISK_BYTES = 1 << 20
# Of the example: its hosts, and its key dead-after-ms.
HOSTS = ('hostA', 'hostB', 'hostC')
DEAD_SECONDS = 4
LOST = re.compile(r'^(\S+Z) .*distkvm: node 2 \(.*is lost', re.M)


def example():
    """With the QEMU of this tree, and less memory."""
    text = EXAMPLE.read_text()
    for old, new, times in (
            ('/usr/local/bin/qemu-system-x86_64', str(QEMU), 1),
            ('"6G"', '"384M"', 1), ('"2G"', '"128M"', 3)):
        assert text.count(old) == times, old
        text = text.replace(old, new)
    return text


def disks(hosts):
    """That of the guest, and that of the follower."""
    sector = guests.boot_sector().read_bytes()
    for host, name, data in ((hosts[0], 'guest', sector),
                             (hosts[1], 'data', b'')):
        raw, image = (host.path / f'{name}.{kind}' for kind in
                      ('raw', 'qcow2'))
        raw.write_bytes(data.ljust(DISK_BYTES, b'\0'))
        quiet([QEMU_IMG, 'convert', '-O', 'qcow2', raw, image])
        host.file(f'{IMAGES}/{name}.qcow2', image.read_bytes())


def prepared(hosts):
    """Keys and domains, as the documentation has it."""
    disks(hosts)
    first = hosts[0]
    (first.path / 'home' / 'three.toml').write_text(example())
    first.tool('keys', 'three.toml')
    first.tool('check', 'three.toml')
    first.tool('xml', 'three.toml', '--dir', '.')
    keys = {host.inside('etc/distkvm/keys/keys.psk').read_text()
            for host in hosts}
    assert len(keys) == 1
    for node in (1, 2):
        first.run(f'scp -q three-{node}.xml root@{HOSTS[node]}:')
        first.run(f'ssh root@{HOSTS[node]} virsh define three-{node}.xml')
    first.run('virsh define three-0.xml')


def start(hosts, order):
    for node in order:
        hosts[0].run(('' if node == 0 else f'ssh root@{HOSTS[node]} ') +
                     f'virsh start three-{node}')
    wait(hosts, RUNNING)
    answers(hosts[0], 'three-0')


def wait(hosts, wanted):
    for node, host in enumerate(hosts):
        host.wait_state(f'three-{node}', wanted)


def info(hosts, node):
    said = hosts[node].virsh('qemu-monitor-command', f'three-{node}',
                             '{"execute": "query-distkvm"}')
    return json.loads(said.stdout)['return']


def check_joined(hosts):
    """TLS carries all; firmware has met the CPUs of both nodes with CPUs."""
    for node in range(len(hosts)):
        found = info(hosts, node)
        peers = [n for n in found['nodes'] if n['id'] != node]
        assert [n['state'] for n in peers] == ['joined'] * 2, peers
        assert {n['transport'] for n in peers} == {'tls'}, peers
    assert [c['node'] for c in found['cpus']] == [0, 0, 1, 1]
    executed = [c['executed-ms'] for c in info(hosts, 1)['cpus']
                if c['node'] == 1]
    assert all(executed), executed


def check_verbs(hosts):
    hosts[2].virsh('suspend', 'three-2')
    wait(hosts, PAUSED)
    hosts[1].virsh('resume', 'three-1')
    wait(hosts, RUNNING)
    with console(hosts[0], 'three-0') as terminal:
        answers_at(terminal, 'three-0')
        hosts[1].virsh('reset', 'three-1')
        read_until(terminal, b'sector: up')
    hosts[2].virsh('shutdown', 'three-2')
    wait(hosts, r'shut off \(shutdown\)')


def check_migration(hosts):
    """The first host's node would go to the second host."""
    said = hosts[0].refused('migrate', '--live', 'three-0', hosts[1].uri)
    assert 'distkvm' in said, said


def named_at(host, node):
    """When a node named the lost one, by its log."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        found = LOST.search(host.log(f'three-{node}'))
        if found:
            return datetime.datetime.fromisoformat(found.group(1)).timestamp()
        time.sleep(0.1)
    raise Problem(f'{host.name} names no lost node: '
                  f'{host.log(f"three-{node}")}')


def check_loss(hosts, bridged):
    """The last host loses its power: no connection of it is closed."""
    before = time.time()
    bridged.cut(2)
    hosts[2].kill()
    taken = []
    for node in (0, 1):
        host, domain = hosts[node], f'three-{node}'
        host.wait_state(domain, r'crashed \(panicked\)')
        taken.append(named_at(host, node) - before)
        assert info(hosts, node)['lost-node'] == 2
        assert 'is lost' in host.refused('resume', domain)
    if max(taken) > DEAD_SECONDS + 1:
        raise Problem(f'they name it after {taken} s')
    for node in (0, 1):
        hosts[node].virsh('destroy', f'three-{node}')
        assert hosts[node].state(f'three-{node}') == 'shut off (destroyed)'
    return max(taken)


@named('libvirt: three hosts with TLS, by ssh, and one loses its power')
def test_three(note):
    if missing():
        pytest.skip(missing())
    guests.boot_sector()
    with virthosts(HOSTS) as (hosts, bridged):
        prepared(hosts)
        start(hosts, (2, 0, 1))
        check_joined(hosts)
        check_migration(hosts)
        check_verbs(hosts)
        start(hosts, (0, 1, 2))
        note(f'named after {check_loss(hosts, bridged):.1f} s')
