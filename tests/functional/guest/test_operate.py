# SPDX-License-Identifier: GPL-2.0-or-later
"""The life of a guest of a cluster file on this machine, with real nodes."""

import json
import os
import re
import signal
import time

import pytest

from browser import Page
from distkvm import guests
from distkvm.common import BUILD, TOP, Problem, quiet
from distkvm.guests.checks import TIMEOUT
from exposition import of, parsed
from naming import named
from operating import (SECONDS, alive, await_end, console_of, place,
                       read_until, two_hosts)

DISK_BYTES = 1 << 20


def example():
    """The five lines of the documentation, exactly."""
    text = (TOP / 'docs' / 'cluster-file.rst').read_text()
    block = re.search(r'five lines[^:]*::\n\n((?:    .*\n)+)', text).group(1)
    lines = [line[4:] for line in block.splitlines()]
    if len(lines) != 5:
        raise Problem(f'they are {len(lines)} lines')
    return '\n'.join(lines) + '\n'


def disk(found):
    """The disk that the example names; it boots."""
    data = guests.boot_sector().read_bytes()
    (found.path / 'disk.img').write_bytes(
        data + bytes(DISK_BYTES - len(data)))


def look_inside(found):
    """The page of real nodes stays in build/log."""
    log = BUILD / 'log'
    log.mkdir(parents=True, exist_ok=True)
    page, facts = log / 'report.html', found.path / 'facts.json'
    found.tool('report', '--seconds', '1', '--interval', '0.25', '-o',
               str(page), '--json', str(facts))
    read, facts = Page(page.read_text()), json.loads(facts.read_text())
    # On a busy host a look may take longer than all looks should.
    assert facts['samples'] and all(map(all, facts['samples']))
    for pages in facts['pages'].values():
        assert len(pages['owned']) == len(pages['homes']) == 1024
        assert 0 < sum(pages['owned']) + sum(pages['shared']) <= 1 << 19
    assert sorted(facts['pages']) == ['0', '1']
    assert {f['owner'] for f in facts['devices']} == {0}
    assert 'bridge' in read.text and 'storage' in read.text
    values = parsed(found.tool('status', '--prometheus').stdout)
    for node in '01':
        assert of(values, 'node_up', node=node) == 1
        assert of(values, 'memory_home_bytes', node=node) == 1 << 30
    sent = sum(v for (name, *labels), v in values.items()
               if name == 'distkvm_sent_bytes_total' and
               ('node', '0') in labels)
    assert sent > 0


@named('guest: operate: one machine in five lines')
def test_life():
    with place(example(), fake=False) as found:
        disk(found)
        said = found.tool('up').stderr
        for words in ('joined 2 of 2', 'the guest runs'):
            if words not in said:
                raise Problem(f"up does not say '{words}': {said}")
        first, second = found.status()
        assert first['state'] == second['state'] == 'running'
        assert first['joined'] == second['joined'] == 2
        assert first['memory'] + second['memory'] == 2 << 30
        process, terminal = console_of(found)
        try:
            read_until(terminal, b'sector: up')
            os.write(terminal, b'hello\r')
            read_until(terminal, b'hello\r')
            os.write(terminal, b'\x1d')
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            os.close(terminal)
        assert 'hello' in found.tool('logs', 'console').stdout
        rows = found.tool('top', '--count', '1', '--interval', '0.5').stdout
        assert len(rows.splitlines()) == 4
        look_inside(found)
        # Its disk is in use; no port is.
        found.tool('check')
        said = found.tool('down').stderr
        if 'asked the guest to power off' not in said or 'within' in said:
            raise Problem(f'the guest did not power off by itself: {said}')
        assert not alive(first['pid']) and not alive(second['pid'])
        assert {r['state'] for r in found.status(3)} == {'absent'}


# A disk for each node; one more of node 1's is on SCSI.
DEVICES = """
[[node.disk]]
file = "a.img"
[[node]]
[[node.disk]]
file = "b.img"
cache = "none"
[[node.disk]]
file = "c.img"
bus = "scsi"
[[node.interface]]
"""


@named('guest: operate: disks and an interface of node 1')
def test_devices():
    """A Linux guest writes and reads both disks, on CPUs of both nodes."""
    args = guests.quick_args('quiet', 'disks', modules=[
        *guests.DISK_MODULES, 'virtio_scsi', 'virtio_net'])
    keys = ''.join(f'{key[1:]} = "{value}"\n'
                   for key, value in zip(args[0:6:2], args[1:6:2]))
    with place(f'[guest]\nmemory = "256M"\n{keys}[[node]]{DEVICES}',
               fake=False) as found:
        images = [guests.disk_image(found.path / f'{name}.img')
                  for name in 'abc']
        found.tool('up')
        await_end(found.pids(), TIMEOUT)
        said = found.tool('logs', 'console').stdout
        for wanted in ('guest-disks: vda right on all CPUs',
                       'guest-disks: vdb right on all CPUs',
                       'guest-disks: block .*/sda .*/eth0'):
            if not re.search(wanted, said):
                raise Problem(f"the guest does not say '{wanted}': {said}")
        for image in images[:2]:
            quiet(['e2fsck', '-fn', image])
            quiet(['debugfs', '-R', 'stat /file', image])
        assert {r['reason'] for r in found.status(3)} == \
            {'ended in good order'}


@named('guest: operate: a node dies, and status names it')
def test_dies():
    with place(example(), fake=False) as found:
        disk(found)
        found.tool('up')
        pid = found.status()[1]['pid']
        os.kill(pid, signal.SIGKILL)
        await_end([pid])
        # Its peer may see that a moment later.
        end = time.monotonic() + SECONDS
        rows = found.status(1)
        while rows[0]['state'] == 'running' and time.monotonic() < end:
            rows = found.status(1)
        assert [r['state'] for r in rows] == ['lost', 'ended']
        assert rows[1]['reason'] == 'ended with signal 9'
        assert re.match(r'node 1 is lost: \S', rows[0]['reason']), rows
        found.tool('down')
        assert not alive(rows[0]['pid'])


@pytest.mark.full
@named('guest: operate: certificates that the tool makes let nodes in')
def test_certificates():
    """Two hosts, as far as ssh goes, and names and addresses of one."""
    with place(fake=False) as found:
        two_hosts(found)
        text = found.file.read_text().replace(
            '[cluster]', '[cluster]\ncredentials = "x509"').replace(
            'memory = "64M"', 'memory = "2G"\ndisks = ["disk.img"]')
        # A host has a directory, and a certificate for its own address.
        for name, key, address in (('a', 'address = "localhost', 'localhost'),
                                   ('b', 'host = "root@hostB"\naddress = "'
                                    'localhost', '127.0.0.2')):
            text = text.replace(f'[[node]]\n{key}', f'[[node]]\nkeys = "'
                                f'{found.path}/{name}"\n' + key.replace(
                                    'localhost', address))
        found.file.write_text(text)
        disk(found)
        found.tool('keys')
        found.tool('up')
        assert [r['joined'] for r in found.status()] == [2, 2]
        found.tool('down')
        # Each has the other's: the first connection says so.
        for name, other in (('a', 'c'), ('b', 'a'), ('c', 'b')):
            (found.path / name).rename(found.path / other)
        said = found.tool('check', status=2).stderr
        assert said.count('and not for') == 2, said
        found.file.write_text(text.replace('[cluster]', '[cluster]\n'
                                           'join-timeout = 3'))
        found.tool('up', '--no-check', status=1)
        assert 'does not match the hostname' in found.tool('logs').stdout


@named('guest: operate: up shows the words of a node that does not start')
def test_failing():
    text = example().replace('memory = "2G"', 'memory = "2G"\ncpu = "none"')
    with place(text, fake=False) as found:
        disk(found)
        for verb in ('check', 'up'):
            said = found.tool(verb, status=2).stderr
            assert re.fullmatch(rf'{found.file}:3: key guest.cpu: QEMU says: '
                                r'.*none.*, see .*\n', said), said
        assert not found.pids()
        said = found.tool('up', '--no-check', status=1).stderr
        if not re.search(r'node \d ended with exit status 1:\n.*none', said):
            raise Problem(f'it does not say why: {said}')
        assert not any(map(alive, found.pids()))
