# SPDX-License-Identifier: GPL-2.0-or-later
"""Bad input: one clear line, no crash, others not disturbed."""

import os
import re
import subprocess
import time
from dataclasses import replace

import pytest

from distkvm.common import BUILD, Problem
from distkvm.qtest import HEADLESS, PATIENCE, qtest_cluster, wait_said
from naming import cases, named
from refusals import ACCEL, PEERS, accel, refused

pytestmark = pytest.mark.overlaps

REFUSED = [
    ('unknown option', r'distkvm.*bogus|bogus', accel('node=0,bogus=1')),
    ('an option of another name', 'follow= is called affinity=on',
     accel('node=0,follow=0')),
    ('another option of another name',
     'walk-bundles= is called walk-prefetch=on',
     accel('node=0,walk-bundles=1')),
    ('no peers', 'peers= is missing', ['-accel', 'distkvm,node=0']),
    ('node out of range', 'node=7 is not one of the 2', accel('node=7')),
    ('node missing', 'node= is missing', ['-smp', '2', '-accel',
                                            f'distkvm,{PEERS}']),
    ('vmi', 'vmi=magic is not known', accel('node=0,vmi=magic')),
    ('shares of vCPUs', 'sums up to 3', accel('node=0,vcpus=1/2')),
    ('vCPU 0 elsewhere', 'vCPU 0 must be on node 0',
     accel('node=0,vcpus=0/2')),
    ('shares of RAM', 'sums up to', accel('node=0,mem=1G/1G')),
    ('a cap below its share', "cap=33M is less than this node's share",
     accel('node=0,cap=33M')),
    ('machine', "machine 'microvm-machine' is not supported",
     accel(machine='microvm')),
    ('smm', '(?s)smm=on cannot work.*secure-boot',
     accel(machine='q35,smm=on')),
    ('vmport', "(?s)vmport=on cannot work.*<vmport state='off'/>",
     accel(machine='q35,vmport=on')),
    ('icount', 'icount', [*ACCEL, '-icount', 'shift=3']),
    ('CPU hot-plug', 'hot-plug of CPUs', accel(smp='2,maxcpus=4')),
    ('memory hot-plug', 'hot-plug of CPUs and memory',
     [*ACCEL[:4], '-m', '64M,slots=1,maxmem=128M', *ACCEL[6:]]),
    ('encrypted memory', 'encrypted with its host',
     [*accel(machine='q35,confidential-guest-support=s'), '-object',
      'sev-guest,id=s,cbitpos=47,reduced-phys-bits=1']),
    ('mem-lock', 'mem-lock=on cannot work',
     [*ACCEL, '-overcommit', 'mem-lock=on']),
    ('prealloc', 'prealloc cannot work',
     [*ACCEL[:1], 'q35,memory-backend=m', *ACCEL[2:], '-object',
      'memory-backend-ram,id=m,size=64M,prealloc=on']),
    ('shared memory', 'is shared, from a file',
     [*ACCEL[:1], 'q35,memory-backend=m', *ACCEL[2:], '-object',
      'memory-backend-ram,id=m,size=64M,share=on']),
    ('guests of guests', 'svm=on cannot work',
     [*ACCEL, '-cpu', 'qemu64,svm=on']),
    ('TSC deadline timer', 'tsc-deadline=on cannot work',
     [*accel('node=0,vmi=qtest'), '-cpu', 'qemu64,tsc-deadline=on']),
    ('balloon', "'virtio-balloon.*cannot work",
     [*ACCEL, '-device', 'virtio-balloon-pci']),
    ('virtio-mem', "'virtio-mem.*cannot work",
     [*ACCEL, '-object', 'memory-backend-ram,id=v,size=64M', '-device',
      'virtio-mem-pci,memdev=v']),
]

NULL = 'file=null-co://,format=raw'
# On a follower: devices that need its chipset, or have no stand-in on node 0.
REFUSED += [
    (f'{name} on a follower', f'{wanted}.* node 1',
     [*accel('node=1', machine=machine), *args])
    for name, wanted, machine, args in (
        ('if=ide', "drive 'ide0-hd0' .ide-hd. cannot work", 'q35',
         ['-drive', f'{NULL},if=ide']),
        ('if=ide, pc', "drive 'ide0-hd0' .ide-hd. cannot work", 'pc',
         ['-drive', f'{NULL},if=ide']),
        ('if=floppy', "drive 'floppy0' .floppy. cannot work", 'pc',
         ['-drive', f'{NULL},if=floppy']),
        ('-cdrom', "drive 'ide2-cd0' .ide-cd. cannot work", 'q35',
         ['-cdrom', 'null-co://']),
        ("a disk on the chipset's AHCI", "drive 'far' .ide-hd. cannot work",
         'q35', ['-blockdev', 'null-co,node-name=d', '-device',
                 'ide-hd,drive=d,bus=ide.0,id=far']),
        ('failover_pair_id', "'e1000e' cannot work", 'q35',
         ['-device', 'e1000e,id=p,failover_pair_id=n']),
        ('failover=on', "'virtio-net-pci' cannot work", 'q35',
         ['-device', 'virtio-net-pci,failover=on']),
        ('a root port behind another one', "'pcie-root-port' cannot work",
         'q35', ['-device', 'pcie-root-port,id=a,chassis=1', '-device',
                 'pcie-root-port,bus=a,chassis=2']),
        ('a root port of pc', "'pcie-root-port' cannot work", 'pc',
         ['-device', 'pcie-root-port']),
        ('a CXL port', "'cxl-rp' cannot work", 'q35', ['-device', 'cxl-rp']),
        ('a switch', "'x3130-upstream' cannot work", 'q35',
         ['-device', 'x3130-upstream']),
        ('VGA of pc', "'VGA' cannot work", 'pc', ['-device', 'VGA']),
    )]

ROM = 'edu,romfile=efi-virtio.rom,romsize=16777216'
REFUSED += [
    ('ROMs of 80 MiB on a follower', "'edu' cannot work on node 1.*romfile=",
     [*accel('node=1'), *['-device', ROM] * 5]),
    ('32 devices on a follower', "node's bus 'pcie.0' has no free slot",
     [*accel('node=1'), *['-device', 'edu'] * 32]),
    ('32 root ports on a follower',
     'node 1 has 31 root ports, and no more can be',
     [*accel('node=1'), *(word for chassis in range(1, 33) for word in
                          ('-device', f'pcie-root-port,chassis={chassis}'))]),
]

MISMATCHES = [
    ('RAM size', {}, {'memory': '128M'},
     'RAM size differs: .(67108864|134217728)'),
    ('machine type', {}, {'machine': 'pc'}, 'machine type differs: .pc-'),
    ('CPU model', {}, {'cpu': 'max'}, 'CPU model differs: .*max-x86_64'),
    ('CPU topology', {'smp': '4'}, {'smp': '4,cores=1,threads=2'},
     'CPU topology differs'),
    ('vCPU count', {'smp': '2'}, {'smp': '3'}, 'CPU topology differs'),
    ('vCPU shares', {'smp': '3', 'vcpus': '1/2'},
     {'smp': '3', 'vcpus': '2/1'}, "vCPUs of the nodes differs: '(1/2|2/1)'"),
    ('RAM shares', {'mem': '32M/32M'}, {'mem': '16M/48M'},
     'RAM of the nodes differs'),
    ('cluster name', {}, {'options': ',cluster=other'},
     "cluster name differs: '"),
]


@cases('name, first, second, wanted', {
    f'refused: other {what}':
        (f"other-{what.replace(' ', '-')}", first, second, wanted)
    for what, first, second, wanted in MISMATCHES})
def test_pair(name, first, second, wanted):
    """Two nodes that differ: both name the difference; node 0 stays up."""
    with qtest_cluster(name) as cluster:
        shape, usual = cluster.shape, replace(cluster.shape)
        for node, changes in ((0, first), (1, second)):
            for key, value in changes.items():
                setattr(shape, key, value)
            cluster.start(node, [] if node else HEADLESS)
            for key in changes:
                setattr(shape, key, getattr(usual, key))
        try:
            status = cluster.process[1].wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Problem('node 1 did not end') from None
        if status != 1:
            raise Problem(f'node 1 ended with {status}')
        for node in (0, 1):
            wait_said(cluster, node, wanted)
        if 0 not in cluster.alive():
            raise Problem('node 0 was disturbed')
        cluster.info(0)


@cases('wanted, args', {f'refused: {name}': (wanted, args)
                        for name, wanted, args in REFUSED})
def test_refused(wanted, args):
    refused(wanted, *args)


@named('refused: other firmware')
def test_firmware():
    """A follower that insists on other firmware is refused."""
    other = BUILD / 'log' / 'other.bin'
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(os.urandom(65536))
    with qtest_cluster('other-firmware') as cluster:
        cluster.start(0, HEADLESS)
        cluster.start(1, ['-bios', str(other)])
        if cluster.process[1].wait(PATIENCE) != 1:
            raise Problem('node 1 was not refused')
        for node in (0, 1):
            wait_said(cluster, node, 'firmware differs')


def await_listening(cluster, node):
    """Until a node is where its peers look for it."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            cluster.net.connect(node).close()
            return
        except OSError as error:
            if time.monotonic() > end:
                raise Problem(f'node {node} does not listen') from error
            time.sleep(0.05)


@named('refused: two nodes with one id')
def test_twins():
    """Two nodes with one id."""
    with qtest_cluster('twins', nodes=3) as cluster:
        cluster.start(0, HEADLESS)
        cluster.start(1)
        # Without this the twin may come first, and be right.
        await_listening(cluster, 1)
        # The twin takes the path of its monitor away.
        cluster.qmp(1)
        twin = subprocess.run(cluster.command(1),
                              capture_output=True, text=True, check=False,
                              timeout=PATIENCE)
        if twin.returncode != 1 or 'cannot join' not in twin.stderr:
            raise Problem(f'the twin ended with {twin.returncode}: '
                          f'{twin.stderr[-300:]}')
        cluster.start(2)
        cluster.wait_formed()


@named('refused: a missing peer')
def test_missing_peer():
    """A peer that never comes: its address, and the end."""
    with qtest_cluster('missing', options=',join-timeout=2') as cluster:
        cluster.start(0, HEADLESS)
        if cluster.process[0].wait(PATIENCE) != 1:
            raise Problem('node 0 did not give up')
        text = cluster.log(0).read_text()
        if not re.search(rf'node 1 \({cluster.peers[1]}\) did not join within '
                         '2 s', text):
            raise Problem(f'it does not name the peer: {text[-300:]}')


@named('refused: migration')
def test_migration_refused():
    """Migration and snapshots are refused at run time, with the reason."""
    with qtest_cluster('migration') as cluster:
        cluster.start(0, HEADLESS)
        cluster.start(1)
        try:
            cluster.qmp(0).execute('migrate', uri='exec:cat >/dev/null')
        except Problem as problem:
            if 'spread over several nodes' not in str(problem):
                raise Problem(f'wrong reason: {problem}') from None
            return
        raise Problem('migration was not refused')
