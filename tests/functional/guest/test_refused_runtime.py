# SPDX-License-Identifier: GPL-2.0-or-later
"""What cannot work is refused in any syntax, at the start and later."""

import json
import re
import time

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.qtest import HEADLESS, PATIENCE, qtest_cluster, wait_said
from naming import cases, named
from refusals import ACCEL, refused

TIMEOUT = 240

# Devices, and what the refusal says besides their names.
DEVICES = [
    ('virtio-balloon-pci', r"<memballoon model='none'/>"),
    ('virtio-mem-pci', 'give all memory with -m'),
    ('virtio-pmem-pci', 'not coherent'),
    ('pc-dimm', 'give all memory with -m'),
    ('nvdimm', 'give all memory with -m'),
    ('ivshmem-plain', 'not coherent'),
    ('vfio-pci', 'pinned guest memory'),
    ('vmgenid', '<genid/>'),
    ('scsi-block', 'use scsi-hd'),
]

# Other things, as QMP commands; and what is said of them.
BACKENDS = [
    ('netdev_add', {'type': 'tap', 'id': 'n', 'vhost': True}, 'vhost=on'),
    ('netdev_add', {'type': 'tap', 'id': 'n', 'vhostfd': '7'}, 'vhost=on'),
    ('netdev_add', {'type': 'vhost-user', 'id': 'n', 'chardev': 'c'},
     'bypasses this process'),
    ('blockdev-add', {'driver': 'nvme', 'device': '0000:00:01.0',
                      'namespace': 1, 'node-name': 'b'}, 'host_device'),
    ('object-add', {'qom-type': 'memory-backend-ram', 'id': 'm',
                    'size': 1 << 20}, 'give all memory with -m'),
    ('object-add', {'qom-type': 'memory-backend-ram', 'id': 'm',
                    'size': 1 << 20, 'prealloc': True}, 'prealloc cannot work'),
]

# The same on the command line, in both syntaxes.
AT_START = [(f'{name} in JSON', wanted, ['-device',
                                         json.dumps({'driver': name})])
            for name, wanted in DEVICES]
AT_START += [(name, wanted, ['-device', name]) for name, wanted in DEVICES]
AT_START += [
    ('vhost=on', 'vhost=on', ['-netdev', 'tap,id=n,vhost=on']),
    ('vhost=on in JSON', 'vhost=on',
     ['-netdev', json.dumps({'type': 'tap', 'id': 'n', 'vhost': True})]),
    ('vhost-user', 'bypasses this process',
     ['-chardev', 'null,id=c', '-netdev', 'vhost-user,id=n,chardev=c']),
    ('nvme://', 'host_device',
     ['-drive', 'file=nvme://0000:00:01.0/1,if=none,id=d']),
    ('nvme in JSON', 'host_device',
     ['-blockdev', json.dumps({'driver': 'nvme', 'device': '0000:00:01.0',
                               'namespace': 1, 'node-name': 'd'})]),
    ('prealloc in JSON', 'prealloc cannot work',
     ['-object', json.dumps({'qom-type': 'memory-backend-ram', 'id': 'm',
                             'size': 1 << 20, 'prealloc': True})]),
]


@pytest.mark.overlaps
@named('refused: devices and backends at the start')
def test_refused_at_start(note):
    """Each of them ends QEMU with one line that gives the remedy."""
    for name, wanted, args in AT_START:
        # A bus for what needs one.
        bus = ['-device', 'virtio-scsi-pci'] if 'scsi' in name else []
        try:
            refused(f'distkvm: .*{wanted}', *ACCEL, *bus, *args)
        except Problem as problem:
            raise Problem(f'{name}: {problem}') from None
    note(f'{len(AT_START)} of them')


def must_fail(connection, wanted, command, **arguments):
    try:
        connection.execute(command, **arguments)
    except Problem as problem:
        if not re.search(wanted, str(problem)):
            raise Problem(f"{command} {arguments} does not say '{wanted}': "
                          f'{problem}') from None
        return
    raise Problem(f'{command} {arguments} was not refused')


def human(connection, line):
    """What the human monitor says."""
    return connection.execute('human-monitor-command', **{'command-line': line})


@pytest.mark.overlaps
@named('refused: devices and backends at run time')
def test_refused_at_run_time(note):
    """The same while the guest runs, on node 0 and on a follower."""
    with qtest_cluster('refused-run-time') as cluster:
        cluster.start(0, [*HEADLESS, '-device', 'virtio-scsi-pci',
                          '-device', 'pcie-root-port,id=rp'])
        cluster.start(1, ['-device', 'virtio-scsi-pci'])
        cluster.wait_formed()
        for node in range(2):
            connection = cluster.qmp(node)
            for driver, wanted in DEVICES:
                wanted = f"'{driver}' cannot work.*{wanted}"
                must_fail(connection, wanted, 'device_add', driver=driver,
                          id='d')
                said = human(connection, f'device_add {driver},id=d')
                if not re.search(wanted, said):
                    raise Problem(f'the human monitor says: {said}')
            for command, arguments, wanted in BACKENDS:
                must_fail(connection, wanted, command, **arguments)
            cpus = connection.execute('query-hotpluggable-cpus')
            must_fail(connection, 'larger -smp', 'device_add', id='c',
                      driver=cpus[0]['type'], **cpus[0]['props'])
            for cpu in cpus:
                must_fail(connection, 'cannot be unplugged', 'device_del',
                          id=cpu['qom-path'])
        must_fail(cluster.qmp(1), 'no free root port', 'device_add',
                  driver='virtio-rng-pci')
        must_fail(cluster.qmp(1), f'on node 0 .{cluster.peers[0]}',
                  'device_add', driver='isa-debug-exit')
        # A device that can work is taken.
        cluster.qmp(0).execute('object-add', **{'qom-type': 'iothread',
                                                'id': 'i'})
        cluster.qmp(0).execute('device_add', driver='virtio-rng-pci', bus='rp')
        if cluster.info(0)['state'] != 'formed':
            raise Problem('the cluster suffered')
    note(f'{len(DEVICES) + len(BACKENDS) + 2} of them, on two nodes')


def works_on(console):
    """The guest goes on."""
    console.until(r'guest-busy: \d', TIMEOUT)


@pytest.mark.full
@named('refused: a balloon that is plugged in')
def test_balloon():
    """A balloon that is plugged in stopped the guest for ever.

    CI asks both nodes for one without a guest (devices at run time)."""
    with Cluster(Shape(memory='256M', machine='pc'),
                 BUILD / 'log' / 'balloon') as cluster:
        console = cluster.boot(*guests.kernel_args('quiet', 'busy'))
        console.until('guest-busy: working', TIMEOUT)
        must_fail(cluster.qmp(0), '<memballoon', 'device_add', id='b',
                  driver='virtio-balloon-pci')
        must_fail(cluster.qmp(0), 'balloon', 'balloon', value=160 << 20)
        works_on(console)
        works_on(console)
        cluster.info(1)


@pytest.mark.full
@named('refused: a CPU that the guest ejects')
def test_ejected():
    """No CPU goes because a stock kernel ejects it, though nobody asked.

    CI ejects without a kernel (qtest: distkvm/eject)."""
    with Cluster(Shape(memory='256M'), BUILD / 'log' / 'ejected') as cluster:
        console = cluster.boot(*guests.kernel_args('quiet', 'eject'))
        console.until('guest-eject: still here', TIMEOUT)
        if 'guest-eject: /sys' not in console.text:
            raise Problem('the guest has nothing to eject')
        for node in range(2):
            cpus = cluster.qmp(node).execute('query-cpus-fast')
            if len(cpus) != 2 or len(cluster.info(node)['cpus']) != 2:
                raise Problem(f'node {node} has {len(cpus)} CPUs left')


def await_status(connection, wanted):
    end = time.monotonic() + PATIENCE
    while connection.execute('query-status')['status'] != wanted:
        if time.monotonic() > end:
            raise Problem(f'the guest is not {wanted}')
        time.sleep(0.05)


@pytest.mark.overlaps
@named('refused: cont and reset after a loss')
def test_after_a_loss():
    """No way leads on; who asks is told why, and which node it was."""
    with qtest_cluster('after-loss') as cluster:
        cluster.start(0, HEADLESS)
        cluster.start(1)
        cluster.wait_formed()
        connection = cluster.qmp(0)
        # One that never ran is not stopped, and stays as it is.
        await_status(connection, 'running')
        cluster.process[1].kill()
        await_status(connection, 'internal-error')
        for _ in range(2):
            must_fail(connection, 'node 1 .*is lost', 'cont')
            must_fail(connection, 'node 1 .*is lost', 'system_reset')
            for line in ('cont', 'system_reset', 'c'):
                if 'is lost' not in human(connection, line):
                    raise Problem(f"the human monitor's {line} succeeds")
            status = connection.execute('query-status')['status']
            if status != 'internal-error':
                raise Problem(f'the guest is {status} again')
        check_lost(cluster, connection)


def check_lost(cluster, connection):
    info = cluster.info(0)
    told = connection.event_data['DISTKVM_NODE_LOST']
    if told['node'] != 1 or told['address'] != cluster.peers[1] or \
            info['state'] != 'lost' or info['lost-node'] != 1 or \
            info['lost-reason'] != told['reason']:
        raise Problem(f'the event is {told}, query-distkvm says {info}')
    said = human(connection, 'info distkvm')
    if not re.match('this is node 0, the cluster is lost\r?\n'
                    'node 1 is lost: ', said):
        raise Problem(f'info distkvm: {said}')


BACKEND = ['-object', 'memory-backend-ram,id=far,size=64M']
NUMA = [*BACKEND, '-numa', 'node,nodeid=0,cpus=0-1,memdev=far']
TWO = ['-object', 'memory-backend-ram,id=far,size=32M', '-object',
       'memory-backend-ram,id=near,size=32M', '-numa',
       'node,nodeid=0,cpus=0,memdev=far', '-numa',
       'node,nodeid=1,cpus=1,memdev=near', '-numa']

LAYOUTS = [
    ('-numa on node 0 only', NUMA, [], "(NUMA layout|RAM backends).*"
     "differs: '(one node for each of the cluster, distance 100|"
     "node 0: RAM 67108864, vCPUs 0-1|far|pc.ram)'"),
    ('NUMA distances', [*TWO, 'dist,src=0,dst=1,val=21'],
     [*TWO, 'dist,src=0,dst=1,val=30'], 'NUMA layout.*differs.*distances'),
    ('RAM backend', [], [*BACKEND, '-machine', 'memory-backend=far'],
     "RAM backends.*differs: '(far|pc.ram)'"),
]


@pytest.mark.overlaps
@cases('name, first, second, wanted', {
    f'refused: other {what}':
        (f"other-{re.sub('[^A-Za-z]+', '-', what)}", first, second, wanted)
    for what, first, second, wanted in LAYOUTS})
def test_layout(name, first, second, wanted):
    """Whoever has another map of memory is refused, where it hung."""
    with qtest_cluster(name) as cluster:
        cluster.start(0, [*HEADLESS, *first])
        cluster.start(1, second)
        if cluster.process[1].wait(PATIENCE) != 1:
            raise Problem('node 1 was not refused')
        for node in (0, 1):
            wait_said(cluster, node, wanted)
        cluster.info(0)


@pytest.mark.overlaps
@cases('name, first, second, wanted', {
    'refused: numa=off on node 1 only':
        ('other-numa', '', ',numa=off', "NUMA layout.*differs: '(none' on this "
         'node .1|one node for each .* on this node .0)'),
    'refused: other distances':
        ('other-distances', ',distance=60', ',distance=61',
         "NUMA layout.*differs: .*distance 6[01]'"),
})
def test_options(name, first, second, wanted):
    """Of nodes that make the layout themselves."""
    with qtest_cluster(name, options=first) as cluster:
        cluster.start(0, HEADLESS)
        cluster.shape.options = second
        cluster.start(1)
        if cluster.process[1].wait(PATIENCE) != 1:
            raise Problem('node 1 was not refused')
        for node in (0, 1):
            wait_said(cluster, node, wanted)


@pytest.mark.overlaps
@named('refused: not an equal NUMA layout')
def test_equal_layouts():
    """The same on both nodes is taken."""
    args = [*TWO, 'dist,src=0,dst=1,val=21']
    with qtest_cluster('equal-layouts') as cluster:
        cluster.start(0, [*HEADLESS, *args])
        cluster.start(1, args)
        cluster.wait_formed()


@pytest.mark.overlaps
@named('refused: only warned of: devices of a follower')
def test_invisible():
    """One line names a follower's devices that are not PCI's."""
    disk = ['-blockdev', 'null-co,node-name=d,size=1048576', '-device',
            'virtio-blk-pci,drive=d,id=disk', '-netdev',
            'hubport,id=n,hubid=0', '-device', 'e1000,netdev=n,id=nic']
    quiet = ['-device', 'pcie-root-port,id=rp', '-device', 'qemu-xhci,id=x',
             '-blockdev', 'null-co,node-name=s,size=1048576', '-device',
             'nvme-subsys,id=sub', '-device', 'nvme,subsys=sub,serial=1',
             '-device', 'nvme-ns,drive=s', '-blockdev',
             'null-co,node-name=u,size=1048576', '-device',
             'usb-storage,drive=u,bus=x.0']
    serial = ['-chardev', 'null,id=c', '-device', 'isa-serial,chardev=c,id=s']
    with qtest_cluster('invisible', nodes=3) as cluster:
        cluster.start(0, [*HEADLESS, *disk])
        cluster.start(1, [*disk, *quiet, *serial])
        cluster.start(2, quiet)
        cluster.wait_formed()
        logs = [cluster.log(n).read_text() for n in range(3)]
        lines = [re.findall('.*the guest sees.*', log) for log in logs]
        if [len(found) for found in lines] != [0, 1, 0] or \
                not lines[1][0].endswith(
                    ": isa-serial 's'"):
            raise Problem(f'said is {lines}')


@pytest.mark.overlaps
@cases('name, shape, said', {
    'refused: only told: sockets are cut': (
        'cut', {'smp': '12,sockets=3,cores=2,threads=2', 'vcpus': '6/6'},
        'sockets=6,cores=1,threads=2'),
    'refused: only warned of: a socket of dies on two nodes': (
        'dies', {'smp': '12,sockets=3,dies=2,cores=2', 'vcpus': '6/6'},
        'warning: .*use -smp with sockets of 2 vCPUs'),
})
def test_sockets(name, shape, said):
    """No socket has vCPUs of two nodes, and none becomes larger."""
    with qtest_cluster(f'sockets-{name}', **shape) as cluster:
        cluster.start(0, HEADLESS)
        wait_said(cluster, 0, said)


@pytest.mark.overlaps
@named('refused: a ROM of more than 64 MiB')
def test_large_rom():
    """A ROM that is not copied is named, on both sides."""
    with Cluster(Shape(memory='256M'), BUILD / 'log' / 'large-rom') as cluster:
        rom = cluster.log_dir / 'large.rom'
        with open(rom, 'wb') as out:
            out.write(b'\x55\xaa')
            out.truncate(65 << 20)
        cluster.start(0, [*HEADLESS, '-device',
                          f'virtio-rng-pci,romfile={rom}'])
        cluster.start(1)
        wait_said(cluster, 0, 'ROM .*has 128 MiB; other nodes')
        wait_said(cluster, 1, "node 0's ROM .*has 128 MiB")
        rom.unlink()
