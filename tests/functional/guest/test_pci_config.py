# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration space that the guest sees of devices of another node is
that of the same devices in plain QEMU, behind the same bridges."""

import re
import struct
import subprocess

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU, Problem
from distkvm.console import Console
from distkvm.guests.checks import TIMEOUT, check_console
from naming import cases

MEMORY = '256M'
BYTES = 4096
# By vendor and device, in slots 1 to 5 of node 1.
DEVICES = {
    (0x1b36, 0x0010): 'nvme,serial=1,drive=d0',
    (0x8086, 0x10d3): 'e1000e,netdev=n,mac=52:54:00:12:34:56',
    (0x1af4, None): 'virtio-blk-pci,drive=d1',
    (0x1000, 0x0012): 'lsi53c895a',
    (0x1b36, 0x000d): 'qemu-xhci',
}
BACKENDS = ['-netdev', 'user,id=n']
for number in range(2):
    BACKENDS += ['-blockdev', f'driver=null-co,node-name=d{number},'
                 'read-zeroes=on,size=1048576']
# Bridges as node 0 makes them for node 1: docs/architecture.rst, "The plan".
Q35_BRIDGE = ['-device', f'pxb-pcie,id=pxb,addr=0x1e,'
              f'bus_nr={256 - 1 - len(DEVICES)}']
PC_BRIDGE = ['-device', 'pci-bridge,id=bridge,addr=0x1f,chassis_nr=129,'
             'shpc=off,msi=off,mem-reserve=10M,io-reserve=4096']
CHASSIS, FIRST_SLOT = 129, 32
# Those with I/O ports have a window of 4 KiB.
PORTS = ('e1000e', 'lsi')

INTERRUPT_LINE, CAPABILITIES, HEADER_TYPE = 0x3c, 0x34, 0x0e
MSI, MSI_64_BITS = 5, 0x80
EXPRESS, LINK_STATUS = 0x10, 0x12
# Of the second byte.
SLOT_CONTROL, LINK_EVENT = 0x18, 0x10


def devices(place):
    """The devices' options, each with more from place(slot, model)."""
    args = list(BACKENDS)
    for slot, model in enumerate(DEVICES.values(), 1):
        where = place(slot, model, args)
        args += ['-device', f'{model}{where}']
    return args


def in_port(slot, model, args):
    reserve = 4096 if model.startswith(PORTS) else 0
    args += ['-device', f'pcie-root-port,id=s{slot},bus=pxb,addr={slot},'
             f'chassis={CHASSIS},slot={FIRST_SLOT + slot},'
             f'io-reserve={reserve}']
    return f',bus=s{slot}'


def in_bridge(slot, *_):
    return f',bus=bridge,addr={slot}'


SKELETON = {'q35': [*Q35_BRIDGE, *devices(in_port)],
            'pc': [*PC_BRIDGE, *devices(in_bridge)]}


# In the cluster, kernels on CPUs of both nodes find the devices.
GUEST = ('quiet', 'pci-config')


def boot_plain(name, machine):
    log = BUILD / 'log' / name / 'plain.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [str(QEMU), '-machine', f'{machine},smm=off', '-m', MEMORY,
               '-smp', '2', '-accel', 'tcg,thread=multi', '-nodefaults', '-display', 'none',
               '-serial', 'stdio', *SKELETON[machine],
               *guests.quick_args(*GUEST)]
    with open(log, 'wb') as out, subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=out) as process:
        try:
            console = Console(process)
            console.until('guest-pci: end', TIMEOUT)
        except Problem as problem:
            raise Problem(f'{problem}: {log.read_text()[-300:]}') from None
        finally:
            process.kill()
    return console.text


def boot_cluster(name, machine):
    shape = Shape(nodes=2, memory=MEMORY, machine=machine, options=',numa=off')
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.kernel_args(*GUEST),
                               devices={1: devices(lambda *_: '')})
        console.until('guest-pci: end', TIMEOUT)
        check_console(console.text, shape)
        return console.text


def spaces(text):
    """The bytes of all functions, by their address."""
    found = {}
    for where, at, line in re.findall(
            r'guest-pci: (\S+) ([0-9a-f]{4}) ([0-9a-f]{64})$', text, re.M):
        space = found.setdefault(where, bytearray(BYTES))
        space[int(at, 16):int(at, 16) + 32] = bytes.fromhex(line)
    return found


def mask(space):
    """Without what depends on the routing of interrupts, which is the
    machine's: the line, and the message of MSI.  The link of a root port is
    the port's, and not its device's: docs/limits.rst.  A guest may ask a root
    port of another node for events of the link, which QEMU's have not."""
    space[INTERRUPT_LINE] = 0
    at = space[CAPABILITIES]
    while at:
        if space[at] == MSI:
            count = 10 if space[at + 2] & MSI_64_BITS else 6
            space[at + 4:at + 4 + count] = bytes(count)
        if space[at] == EXPRESS and space[HEADER_TYPE] & 1:
            space[at + LINK_STATUS:at + LINK_STATUS + 2] = bytes(2)
            space[at + SLOT_CONTROL + 1] &= ~LINK_EVENT & 0xff
        at = space[at + 1]


def name_of(space):
    vendor, device = struct.unpack_from('<HH', space)
    return f'{vendor:04x}:{device:04x}'


def difference(where, ours, plain):
    if name_of(ours) != name_of(plain):
        return f'{where} is {name_of(ours)}, and not {name_of(plain)}'
    differ = [f'{at:#05x}: {a:02x} and not {b:02x}'
              for at, (a, b) in enumerate(zip(ours, plain)) if a != b]
    return f"{where} ({name_of(ours)}): {', '.join(differ[:16])}"


def check_equal(ours, plain):
    problems = [f'{where} is in one of them only'
                for where in sorted(set(ours) ^ set(plain))]
    for where in sorted(set(ours) & set(plain)):
        mask(ours[where])
        mask(plain[where])
        if ours[where] != plain[where]:
            problems.append(difference(where, ours[where], plain[where]))
    if problems:
        raise Problem('\n'.join(problems))


def check_complete(found):
    """All devices are there, and were not read as ones."""
    ids = [struct.unpack_from('<HH', space) for space in found.values()]
    for vendor, device in DEVICES:
        if not any(v == vendor and device in (None, d) for v, d in ids):
            raise Problem(f'{vendor:04x}:{device or 0:04x} is not among {ids}')


@cases('name, machine', {
    'pci: node 1\'s devices have the bytes of plain QEMU\'s, q35': (
        'pci-config-q35', 'q35')}, {
    'pci: node 1\'s devices have the bytes of plain QEMU\'s, pc': (
        'pci-config-pc', 'pc')})
def test_equal(name, machine, note):
    plain = spaces(boot_plain(name, machine))
    ours = spaces(boot_cluster(name, machine))
    check_complete(plain)
    check_complete(ours)
    check_equal(ours, plain)
    note(f'{len(ours)} functions, '
         f'{sum(len(s) - s.count(0) for s in ours.values())} bytes not zero')
