# SPDX-License-Identifier: GPL-2.0-or-later
"""Real firmware has room for as many root ports with I/O ports as is predicted, and
for no more.  docs/limits.rst has the numbers."""

import subprocess

from distkvm.cluster import Cluster, Qmp, Shape
from distkvm.common import BUILD, QEMU, Problem
from distkvm.door.common import until
from distkvm.guests.firmware import efi_image, ovmf, says, sector_image
from naming import cases

PATIENCE = 120
# It has one BAR of memory and one of I/O ports.
PORTS = ['-device', 'pci-testdev']
TESTDEV = {'vendor': 0x1b36, 'device': 5}
# Windows of ports that firmware has room for on q35, beside the chipset's ports;
# with one more its words, or what it lacks then.
FITS = {'SeaBIOS': 14, 'OVMF': 9}
SYMPTOM = {'SeaBIOS': 'stops with a panic',
           'OVMF': 'leaves devices without addresses'}
# SeaBIOS's words for that, and QEMU's value of a BAR without an address.
PANIC = b'PCI: out of I/O address space'
NOWHERE = -1
NODE_1 = 1


def boot_args(firmware, folder):
    """A disk of node 0, and the firmware that shall boot from it."""
    own = ovmf(folder) if firmware == 'OVMF' else []
    make = efi_image if firmware == 'OVMF' else sector_image
    image = make(folder / 'disk.img', 0)
    return [*own, '-drive', f'file={image},format=raw,if=none,id=d,readonly=on',
            '-device', 'virtio-blk-pci,disable-legacy=on,drive=d,bootindex=0']


def new_cluster(name):
    return Cluster(Shape(nodes=2, memory='256M', machine='q35'),
                   BUILD / 'log' / name)


def regions(cluster):
    return [region for function in cluster.qmp(0).execute('query-distkvm-pci')
            if function['owner'] == NODE_1 for region in function['regions']]


def check_addresses(found, count):
    """All have addresses, and ports of two windows are 4 KiB apart or more."""
    ports = sorted(region['address'] for region in found
                   if not region['memory'] and 'address' in region)
    if len(ports) != count or any('address' not in region for region in found):
        raise Problem(f'regions are {found}')
    if any(b - a < 4096 for a, b in zip(ports, ports[1:])):
        raise Problem(f'two windows are one: {ports}')


@cases('firmware', {}, {
    f'pci: {firmware} has room for {count} root ports with I/O ports': firmware
    for firmware, count in FITS.items()})
def test_fits(firmware, tmp_path, note):
    count = FITS[firmware]
    with new_cluster(f'pci-room-{firmware.lower()}') as cluster:
        console = cluster.boot(*boot_args(firmware, tmp_path),
                               devices={NODE_1: count * PORTS})
        console.until(says(0), PATIENCE)
        check_addresses(regions(cluster), count)
    note(f'{count} windows')


@cases('firmware', {}, {
    f'pci: refused: more root ports with I/O ports than {firmware} has room for':
    firmware for firmware in FITS})
def test_refused(firmware, tmp_path):
    count = FITS[firmware]
    words = (f'{count + 1} root ports need a window of 4 KiB or more of I/O '
             f'ports, {4 * (count + 1)} KiB in all, and {firmware} has '
             f'{4 * count} KiB and {SYMPTOM[firmware]}: ')
    with new_cluster(f'pci-room-refused-{firmware.lower()}') as cluster:
        console = cluster.boot(*boot_args(firmware, tmp_path),
                               devices={NODE_1: (count + 1) * PORTS})
        statuses = cluster.wait(PATIENCE)
        text = cluster.log(0).read_text()
        if not all(statuses) or words not in text:
            raise Problem(f'nodes ended with {statuses}: {text}')
        console.drain()
        if console.text:
            raise Problem(f'the guest says {console.text}')


# As node 0 makes them for node 1: docs/architecture.rst, "The plan".
def plain_tree(count):
    tree = ['-device', f'pxb-pcie,id=pxb,addr=0x1e,bus_nr={255 - count}']
    for n in range(1, count + 1):
        tree += ['-device', f'pcie-root-port,id=s{n},bus=pxb,addr={n},'
                 f'chassis=129,slot={n},io-reserve=4096',
                 '-device', f'pci-testdev,bus=s{n}']
    return tree


def count_addresses(qmp):
    """Of regions of ports, and of all, of functions behind root ports."""
    def regions_of(devices):
        for device in devices:
            below = device.get('pci_bridge', {}).get('devices', [])
            yield from regions_of(below)
            if TESTDEV.items() <= device['id'].items():
                yield from device['regions']

    found = [region for bus in qmp.execute('query-pci')
             for region in regions_of(bus['devices'])
             if region['type'] == 'io']
    return sum(region['address'] != NOWHERE for region in found), len(found)


def is_halted(qmp):
    return 'HLT=1' in qmp.execute('human-monitor-command',
                                  **{'command-line': 'info registers'})


@cases('firmware', {}, {
    f'pci: plain {firmware} has no room for one more of root ports with I/O '
    'ports': firmware for firmware in FITS})
def test_plain(firmware, tmp_path, note):
    """So the prediction is not too careful."""
    count = FITS[firmware] + 1
    debug, qmp_path = tmp_path / 'debug', tmp_path / 'qmp'
    command = [str(QEMU), '-machine', 'q35', '-m', '256M', '-accel', 'tcg',
               '-nodefaults', '-display', 'none', '-serial', 'stdio',
               '-qmp', f'unix:{qmp_path},server=on,wait=off',
               '-debugcon', f'file:{debug}', '-global',
               'isa-debugcon.iobase=0x402', *boot_args(firmware, tmp_path),
               *plain_tree(count)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:
        try:
            if firmware == 'SeaBIOS':
                until('SeaBIOS stops with a panic',
                      lambda: debug.exists() and PANIC in debug.read_bytes(),
                      PATIENCE)
                return
            qmp = Qmp(qmp_path)
            until('OVMF gives up and waits',
                  lambda: all(is_halted(qmp) for _ in range(20)), PATIENCE)
            mapped, found = count_addresses(qmp)
            qmp.close()
        finally:
            process.kill()
    if found != count or mapped >= count:
        raise Problem(f'{mapped} of {found} have addresses')
    note(f'{mapped} of {found} have addresses')
