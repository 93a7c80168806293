# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock kernels over KVM nodes on emulated hosts."""

import re

import pytest

from distkvm import guests
from distkvm.common import QEMU_BUILD, Problem
from distkvm.keys import new_psk
from distkvm.guests.nested import (Run, distkvm, ended, host, host_job, stock,
                                   stock_drive)
from distkvm.network import free_ports
from distkvm.guests.outer import Outer, cable
from distkvm.guests.checks import LITMUS, PART_BYTES, check_disk, check_parts
from naming import cases, named

# Emulation in emulation, on machines that do more besides.
SECONDS = 2400
FULL_SECONDS = 5400
pytestmark = pytest.mark.timeout(FULL_SECONDS + 600)

# Placeholder for the disk of a guest, and the host's name of it.
DISK = '-drive file=/dev/vdd,format=raw,if=none,id=d,cache=none ' \
    '-device virtio-blk-pci,drive=d'
NVME = '-drive file=/dev/vdd,format=raw,if=none,id=d,cache=none ' \
    '-device nvme,drive=d,serial=1'
# The others name the lost node within this.
NAMED_WITHIN = 5.0

# With slow clocks the TSC is beyond what a check of Linux's timers expects.
SLOW = 'no_timer_check'

# Node 1 is killed; what node 0 says to that.
KILL = '''
working() {
    sleep 1
    now "host: killing"
    kill -9 $follower
    until grep -q 'node 1 (.*is lost' /tmp/node-0.log; do sleep 0.1; done
    now "host: named"
    sleep 1
    echo "stats 0: $(qmp 0 '"query-status"' '"query-distkvm"')"
    qmp 0 '"quit"' >/dev/null
}
'''


def check_stock(run, smp, *says):
    """The stock kernel came up with all CPUs, and complains of nothing."""
    run.expect(f'guest-init: up, cpus online 0-{smp - 1},', *says)
    # The guest's lines have the host's time in front, QEMU's have not.
    for line in re.findall(r'^[\d.]+ .*$', run.text, re.M):
        if guests.COMPLAINTS.search(line):
            raise Problem(f'{run.name}: the guest complains: {line}')


def check_ends(run, *ends):
    for node, status in enumerate(ends):
        run.expect(f'host: node {node} ended with {status}\n')


def boot(name, vmis, smp=2, script='plain', append='',
         says=('guest-plain: right on',), seconds=SECONDS, args='', extra=(),
         devices='', quick=False):
    """A stock kernel over two nodes of one host; `devices` are node 1's.  If
    `quick`, it is unpacked already, and says less: each byte is an exit."""
    outer = host(name, f"{distkvm(vmis)}devices='{devices}'\n"
                 f"run '{vmis}' 2 {smp} "
                 f"{stock(script, f'loglevel={5 if quick else 7} {append}')} "
                 f'{args}\n', (script,), extra, quick)
    run = Run(ended([outer], seconds)[0], vmis)
    check_stock(run, smp, 'Power down', *says)
    check_ends(run, 0, 0)
    memory = [run.answers(n)[0]['memory'] for n in range(2)]
    unchanged = sum(m['unchanged-pages-sent'] for m in memory)
    return f"init after {run.seconds_to('guest-init: up'):.1f} s of the " \
           f'host, {unchanged} page tables went by unchanged'


@pytest.mark.full
@pytest.mark.overlaps
@named('kvm: stock kernel over two KVM nodes writes a disk')
def test_disk(note):
    """Each CPU writes a file that the other reads."""
    image = guests.disk_image(guests.GUEST / 'disk-kvm-disk.img', 16)
    said = boot('kvm-disk', 'kvm kvm', 2, 'disk', '',
                ('guest-disk: ext4 on /dev/vda', 'guest-disk: end',
                 *(f'file of CPU {n} is right on CPU {1 - n}'
                   for n in range(2))), FULL_SECONDS, DISK,
                ('-drive', f'file={image},format=raw,if=virtio'))
    check_disk(image, 2)
    note(f'{said}, image clean')


@pytest.mark.full
@pytest.mark.overlaps
@named('kvm: stock kernel, a KVM node is killed')
def test_kill(note):
    """Node 1 is killed while it works: node 0 names it, and stops."""
    outer = host('kvm-kill', f"{distkvm('kvm kvm')}{KILL}run kill 2 2 "
                 f"{stock('busy', 'loglevel=7')}\n", ('busy',))
    run = Run(ended([outer], FULL_SECONDS)[0], 'kill')
    check_stock(run, 2)
    check_ends(run, 0, 137)
    status, info = run.answers(0, after='host: named')
    if status['status'] != 'internal-error' or not info['failed']:
        raise Problem(f"node 0 is {status['status']} after the loss")
    took = run.seconds_to('host: named') - run.seconds_to('host: killing')
    if took > NAMED_WITHIN:
        raise Problem(f'node 0 named node 1 after {took:.1f} s of the host')
    note(f'named after {took:.1f} s of the host')


@pytest.mark.full
@pytest.mark.overlaps
@cases('name', {f'kvm: stock kernel over two hosts, {i}': f'kvm-hosts-{i}'
                for i in (1, 2)})
def test_two_hosts(name, note):
    """A stock kernel over two hosts, each with a node of its own."""
    slow = 'tests/qtest/distkvm/distkvm-slow-clock.so'
    ports, psk = free_ports(2), new_psk()
    jobs = ('now "job: two"\n'
            f"first 2 {stock('plain', f'loglevel=7 {SLOW}')} | watch 1\n"
            'cat /tmp/node-0.log',
            '(node 1 2) 2>&1\necho "host: node 1 ended with $?"')
    outers = [Outer(f'{name}-{n}', host_job(n, psk) +
                    f"{distkvm('kvm kvm')}{jobs[n]}\n", 1,
                    [*stock_drive(('plain',)), *cable(ports, n)],
                    {'LD_PRELOAD': str(QEMU_BUILD / slow)}, SLOW)
              for n in range(2)]
    texts = ended(outers, FULL_SECONDS)
    run = Run(texts[0], 'two')
    check_stock(run, 2, 'Power down', 'guest-plain: right on',
                'host: node 0 ended with 0')
    if 'host: node 1 ended with 0' not in texts[1]:
        raise Problem(f'node 1: {texts[1][-400:]}')
    transport = run.answers(0)[0]['nodes'][1]['transport']
    if transport != 'tls':
        raise Problem(f'the hosts are joined by {transport}')
    note(f"init after {run.seconds_to('guest-init: up'):.1f} s of the hosts")


@pytest.mark.beside
@named('kvm: stock kernel over two KVM nodes')
def test_boot(note):
    """The longest test of every run.  Node 1 has an NVMe disk, of which each CPU
    writes a part that both read."""
    image = guests.GUEST / 'disk-kvm-nvme.img'
    image.write_bytes(bytes(2 * PART_BYTES))
    said = boot('kvm-stock', 'kvm kvm', says=(
        'guest-plain: right on', 'guest-plain: disk right on all CPUs'),
        extra=('-drive', f'file={image},format=raw,if=virtio'), devices=NVME,
        quick=True)
    check_parts(image, 2)
    note(f'{said}, image right')


@pytest.mark.full
@pytest.mark.overlaps
@cases('name', {
    f'kvm: stock kernel over two KVM nodes, again {i}': f'kvm-stock-{i}'
    for i in range(1, 10)})
def test_boot_again(name, note):
    note(boot(name, 'kvm kvm'))


@pytest.mark.full
@pytest.mark.overlaps
@cases('name', {
    f'kvm: stock kernel over two KVM nodes, litmus {i}': f'kvm-litmus-{i}'
    for i in (1, 2)})
def test_litmus(name, note):
    note(boot(name, 'kvm kvm', 2, 'litmus', 'litmus.n=5000 litmus.code=100',
              LITMUS, FULL_SECONDS))


@pytest.mark.full
@pytest.mark.overlaps
@cases('name, vmis', {
    f'kvm: stock kernel over {vmis}, {i}':
        (f"kvm-{vmis.replace(' ', '-')}-{i}", vmis)
    for i in (1, 2) for vmis in ('kvm tcg', 'tcg kvm')})
def test_boot_mixed(name, vmis, note):
    note(boot(name, vmis))


@pytest.mark.full
@pytest.mark.overlaps
@cases('name', {
    f'kvm: stock kernel over 2+2 vCPUs, {i}': f'kvm-2-2-{i}'
    for i in (1, 2)})
def test_boot_of_four(name, note):
    note(boot(name, 'kvm kvm', 4, seconds=FULL_SECONDS))
