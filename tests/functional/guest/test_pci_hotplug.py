# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI devices of other nodes that come and go while the guest runs."""

import re
import subprocess
import time

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem, quiet
from distkvm.door.common import until
from distkvm.guests.checks import TIMEOUT, check_console
from naming import cases

# More than a guest takes to let go of a device, after it was asked.
PATIENCE = 60


# The one that lets go of the device, by rounds.
ASKERS = ('owner', 'guest', 'node 0')
# Nobody: it is pulled out.
PULLED = 'pulled'
ROUNDS = 1
ROUNDS_FULL = {'q35': 9, 'pc': len(ASKERS)}


def wait_event(connection, name, count):
    end = time.monotonic() + PATIENCE
    while connection.events.count(name) < count:
        if time.monotonic() > end:
            raise Problem(f'no event {name}, but {connection.events}')
        connection.execute('query-status')
        time.sleep(0.1)


def plug_and_remove(cluster, console, number, place):
    """By the owner at first, then by node 0."""
    owner = cluster.qmp(1)
    console.until(f'guest-hotplug: no disk, round {number}', TIMEOUT)
    owner.execute('device_add', driver='virtio-blk-pci', id=f'v{number}',
                  drive='d', **place)
    console.until(f'guest-hotplug: round {number} is right on all CPUs',
                  TIMEOUT)
    if number == 1:
        owner.execute('device_del', id=f'v{number}')
    else:
        cluster.qmp(0).execute('device_del', id=f'node1.v{number}')
    console.until(f'guest-hotplug: gone, round {number}', TIMEOUT)
    # Of the device, and of its backend.
    wait_event(owner, 'DEVICE_DELETED', 2 * number)


# By machine, what node 1 has at the start, and where the guest gets more.  On pc a
# node without any device at the start has no bridge for more.
SLOTS = {'pc': ('virtio-rng-pci,disable-legacy=on', {}),
         'q35': ('pcie-root-port,id=slot1', {'bus': 'slot1'})}


def slot_and_disk(machine, image):
    """Node 1's words, and further arguments of device_add."""
    device, place = SLOTS[machine]
    return ['-device', device, '-blockdev',
            f'driver=file,filename={image},node-name=f', '-blockdev',
            'driver=raw,file=f,node-name=d'], place


@cases('name, machine', {
    'pci: a disk of node 1 comes and goes on pc': ('pci-hotplug-pc', 'pc')}, {
    'pci: a disk of node 1 comes and goes while the guest runs': (
        'pci-hotplug', 'q35')})
def test_disk(name, machine, tmp_path, note):
    image = guests.disk_image(tmp_path / 'disk.img')
    shape = Shape(nodes=2, memory='256M', machine=machine)
    slot, place = slot_and_disk(machine, image)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.quick_args('quiet', 'hotplug',
                                                  guests.DISK_MODULES),
                               devices={1: slot})
        for number in (1, 2):
            plug_and_remove(cluster, console, number, place)
        cluster.qmp(1).execute('device_add', driver='virtio-blk-pci', id='last',
                               drive='d', **place)
        console.until('guest-hotplug: end', TIMEOUT)
        console.drain()
        statuses = cluster.wait(20)
        check_console(console.text, shape)
        if any(statuses) or 'WRONG' in console.text:
            raise Problem(f'nodes ended with {statuses}: {console.text[-500:]}')
    quiet(['e2fsck', '-fn', image])
    found = subprocess.run(['debugfs', '-R', 'ls -p /', str(image)], check=True,
                           capture_output=True, text=True).stdout
    if 'file-1' not in found or 'file-2' not in found:
        raise Problem(f'the image has {found}')
    note('two rounds, image clean')


def wait_deleted(connection, device):
    end = time.monotonic() + PATIENCE
    while device not in connection.deleted:
        if time.monotonic() > end:
            raise Problem(f'{device} has not gone, but {connection.deleted}')
        connection.execute('query-status')
        time.sleep(0.1)


def use_and_remove(cluster, console, number, device, asker):
    """The guest's programs use the disk until it is gone."""
    # Both hear events from now on.
    boot_node, owner, name = cluster.qmp(0), cluster.qmp(1), f'v{number}'
    console.until(f'guest-hotplug: no disk, round {number}', TIMEOUT)
    owner.execute('device_add', id=name, drive='d', **device)
    console.until(f'guest-hotplug: all CPUs use it, round {number}', TIMEOUT)
    if asker == 'owner':
        owner.execute('device_del', id=name)
    elif asker == 'node 0':
        boot_node.execute('device_del', id=f'node1.{name}')
    elif asker == PULLED:
        owner.execute('distkvm-device-pull', id=name)
    console.until(f'guest-hotplug: gone, round {number}', TIMEOUT)
    wait_deleted(owner, name)
    wait_deleted(boot_node, f'node1.{name}')


def check_rounds(text, rounds):
    """Blocks of all rounds are right, and each CPU has written some."""
    if 'WRONG' in text:
        raise Problem(next(l for l in text.splitlines() if 'WRONG' in l))
    right = [int(n) for n in re.findall(r'round \S+, (\d+) blocks are right',
                                        text)]
    passes = [int(n) for line in re.findall(r'after([ \d]+) passes', text)
              for n in line.split()]
    if len(right) != rounds + 1 or right[0] or min(right[1:]) < 4 or \
            len(passes) != 2 * rounds or min(passes) < 3:
        raise Problem(f'right are {right} blocks, after {passes} passes')
    return f'{rounds} removals, {sum(passes)} blocks written, ' \
           f'{sum(right)} held against the disk'


# ACPI, by which devices go on pc, has no word for one that was pulled out.
@cases('name, machine, device, turns', {
    'pci: a disk of node 1 goes while all CPUs write it': (
        'pci-hotplug-io', 'q35', {'driver': 'virtio-blk-pci'}, ASKERS)}, {
    'pci: a disk of node 1 goes while all CPUs write it, pc': (
        'pci-hotplug-io-pc', 'pc', {'driver': 'virtio-blk-pci'}, ASKERS),
    'pci: an NVMe disk of node 1 goes while all CPUs write it': (
        'pci-hotplug-nvme', 'q35', {'driver': 'nvme', 'serial': '1'},
        (PULLED, *ASKERS))})
def test_under_io(name, machine, device, turns, tmp_path, full, note):
    """The disk's owner, node 0 and the guest let go of it by turns."""
    rounds = ROUNDS_FULL[machine] if full else ROUNDS
    askers = [turns[n % len(turns)] for n in range(rounds)]
    own = ','.join(str(n + 1) for n, asker in enumerate(askers)
                   if asker == 'guest')
    image = tmp_path / 'disk.img'
    image.write_bytes(bytes(4 << 20))
    shape = Shape(nodes=2, memory='256M', machine=machine)
    slot, place = slot_and_disk(machine, image)
    device = {**device, **place}
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.quick_args(
            f'quiet hotplug.rounds={rounds} hotplug.by={own}', 'hotplug-io',
            ['virtio_pci', 'virtio_blk', 'nvme']), devices={1: slot})
        for number, asker in enumerate(askers, 1):
            use_and_remove(cluster, console, number, device, asker)
        cluster.qmp(1).execute('device_add', id='last', drive='d', **device)
        console.until('guest-hotplug: end', TIMEOUT)
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        statuses = cluster.wait(20)
        check_console(console.text, shape)
        if any(statuses):
            raise Problem(f'nodes ended with {statuses}')
        note(check_rounds(console.text, rounds))


@cases('name, machine, driver', {}, {
    'pci: a network interface of node 1 comes and goes on pc': (
        'pci-hotplug-net-pc', 'pc', 'e1000e'),
    'pci: a network interface of node 1 comes and goes while the guest runs': (
        'pci-hotplug-net', 'q35', 'virtio-net-pci')})
def test_interface(name, machine, driver, note):
    """Its owner lets go of it, and then node 0, while all CPUs use it."""
    device, place = SLOTS[machine]
    shape = Shape(nodes=2, memory='256M', machine=machine)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.quick_args(
            'quiet', 'hotplug-net', ['virtio_pci', 'virtio_net', 'e1000e']),
            devices={1: ['-device', device, '-netdev', 'user,id=n']})
        boot_node, owner = cluster.qmp(0), cluster.qmp(1)
        for number, asker, prefix in ((1, owner, ''), (2, boot_node, 'node1.')):
            console.until(f'guest-hotplug: no interface, round {number}',
                          TIMEOUT)
            owner.execute('device_add', driver=driver, id=f'n{number}',
                          netdev='n', **place)
            console.until(f'guest-hotplug: all CPUs use it, round {number}',
                          TIMEOUT)
            asker.execute('device_del', id=f'{prefix}n{number}')
            console.until(f'guest-hotplug: gone, round {number}', TIMEOUT)
            wait_deleted(owner, f'n{number}')
            wait_deleted(boot_node, f'node1.n{number}')
        owner.execute('device_add', driver=driver, id='last', netdev='n',
                      **place)
        console.until('guest-hotplug: end', TIMEOUT)
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        statuses = cluster.wait(20)
        check_console(console.text, shape)
        answers = [int(n) for n in re.findall(r'CPU \d+ had (\d+) answers',
                                              console.text)]
        if any(statuses) or len(answers) != 4 or min(answers) < 3 or \
                'WRONG' in console.text:
            raise Problem(f'nodes ended with {statuses}, answers: {answers}')
        note(f'two rounds, {sum(answers)} answers')


def file_node(path, number):
    """Words for a backend of a node, d1 and so on, which says its number."""
    path.write_bytes(f'disk-{number}'.encode().ljust(1 << 20, b'\0'))
    return ['-blockdev', f'driver=file,filename={path},node-name=f{number}',
            '-blockdev', f'driver=raw,file=f{number},node-name=d{number}']


def add_soon(owner, **device):
    """At first the owner may say that the slot is not free yet: "try again"."""
    def added():
        try:
            owner.execute('device_add', **device)
        except Problem as problem:
            if 'try again' not in str(problem):
                raise
            return False
        return True

    until(f'{device["id"]} is added', added, PATIENCE)


@cases('name, device', {}, {
    'pci: a disk comes right after one that was pulled out': (
        'pci-next', {'driver': 'virtio-blk-pci'}),
    'pci: an NVMe disk comes right after one that was pulled out': (
        'pci-next-nvme', {'driver': 'nvme', 'serial': '1'})})
def test_next(name, device, tmp_path, note):
    """The guest still removes the one of before: it gets the next, and keeps it."""
    shape = Shape(nodes=2, memory='256M', machine='q35')
    rounds = (1, 2, 3)
    backends = [word for n in rounds
                for word in file_node(tmp_path / f'disk-{n}', n)]
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.quick_args(
            'quiet', 'hotplug-next', ['virtio_pci', 'virtio_blk', 'nvme']),
            devices={1: ['-device', 'pcie-root-port,id=slot1', *backends]})
        owner = cluster.qmp(1)
        console.until('guest-next: waits for disk 1', TIMEOUT)
        for number in rounds:
            add_soon(owner, id=f'v{number}', drive=f'd{number}', bus='slot1',
                     **device)
            console.until(f'guest-next: disk {number} says '
                          + 2 * f'disk-{number}', TIMEOUT)
            console.until(f'guest-next: disk {number} may go', TIMEOUT)
            if number != rounds[-1]:
                owner.execute('distkvm-device-pull', id=f'v{number}')
        console.until('guest-next: end', TIMEOUT)
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        statuses = cluster.wait(20)
        check_console(console.text, shape)
        if any(statuses) or 'WRONG' in console.text:
            raise Problem(f'nodes ended with {statuses}: {console.text[-500:]}')
        note('two were pulled out, and the next ones stay')
