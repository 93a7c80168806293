# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian as an installer leaves it, from the firmware to the login prompt and
beyond, over two nodes and on plain QEMU."""

import subprocess
from pathlib import Path

import pytest

from distkvm.cluster import TIED, Cluster, Shape
from distkvm.common import BUILD, QEMU, Problem
from distkvm.guests import COMPLAINTS
from distkvm.guests.firmware import ovmf
from distkvm.work import installed
from distkvm.work.image import fresh_disk
from distkvm.work.shell import Shell
from naming import cases

pytestmark = [pytest.mark.full, pytest.mark.root('debootstrap')]

BOOT_SECONDS, WORK_SECONDS, END_SECONDS = 600, 300, 120
VCPUS = 2
SHAPE = Shape(nodes=VCPUS, memory='1G')
HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
# Both machines must say the same.
FACTS = ('systemctl is-system-running --wait || systemctl --failed',
         'uname -r', 'nproc', 'findmnt -nro SOURCE,FSTYPE /',
         'lsblk -nrbo NAME,SIZE,FSTYPE /dev/vda',
         'ls -d /sys/firmware/efi || true', 'dpkg --audit', 'dpkg --verify | wc -l')
# GRUB is installed again by its own programs, and its menu is their work.
GRUB = {'SeaBIOS': 'grub-install /dev/vda', 'OVMF': 'grub-install'}


def root_disk(path):
    return ['-drive', f'file={path},format=raw,if=none,id=root', '-device',
            'virtio-blk-pci,drive=root,bootindex=0']


def firmware_args(firmware, folder):
    return ovmf(folder) if firmware == 'OVMF' else []


def facts(shell):
    return [shell.run(command, WORK_SECONDS) for command in FACTS]


def check_kernel(shell):
    complaint = COMPLAINTS.search(shell.run('dmesg', WORK_SECONDS))
    if complaint:
        raise Problem(f"the guest's kernel complains: {complaint.group(0)}")


def plain(folder, firmware, disk):
    """What the guest says on QEMU of the same build, and seconds to its
    prompt."""
    command = [*TIED, str(QEMU), '-machine', SHAPE.machine, '-m', SHAPE.memory,
               '-smp', str(VCPUS), '-accel', 'tcg', *HEADLESS,
               *root_disk(disk), *firmware_args(firmware, folder)]
    with open(folder / 'plain.log', 'wb') as log, \
            subprocess.Popen(command, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, stderr=log) as process:
        try:
            shell = Shell(process.stdout.fileno(), process.stdin.fileno(), log)
            seconds = shell.login(BOOT_SECONDS)
            said = facts(shell)
            shell.type('poweroff')
            process.wait(END_SECONDS)
            return said, seconds
        finally:
            process.kill()


def over_nodes(cluster, firmware, disk, owner, log):
    """The same over nodes; then GRUB is installed by the guest, and boots it."""
    args = {owner: root_disk(disk)}
    own = firmware_args(firmware, cluster.log_dir)
    for node in range(1, VCPUS):
        cluster.start(node, args.get(node, ()))
    first = cluster.start(0, [*HEADLESS, *own, *args.get(0, ())],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def check():
        for node, process in enumerate(cluster.process):
            if process.poll() is not None:
                raise Problem(f'node {node} has ended; see {cluster.log(node)}')

    shell = Shell(first.stdout.fileno(), first.stdin.fileno(), log, check)
    seconds = shell.login(BOOT_SECONDS)
    said = facts(shell)
    assert 'BOOT_IMAGE=/vmlinuz ' in shell.run('cat /proc/cmdline',
                                               WORK_SECONDS)
    shell.run(f'{GRUB[firmware]} && update-grub && sync', WORK_SECONDS)
    check_kernel(shell)
    shell.type('reboot')
    shell.login(BOOT_SECONDS)
    assert 'BOOT_IMAGE=/boot/vmlinuz-' in shell.run('cat /proc/cmdline',
                                                    WORK_SECONDS)
    check_kernel(shell)
    shell.type('poweroff')
    statuses = cluster.wait(END_SECONDS)
    if any(statuses):
        raise Problem(f'nodes ended with {statuses}')
    return said, seconds


@cases('release, firmware, owner', {
    f'guest: Debian {release} installed, GRUB under {firmware}, its disk on '
    f'node {owner}': (release, firmware, owner)
    for release, firmware, owner in (
        ('12', 'SeaBIOS', 1), ('12', 'OVMF', 0),
        ('13', 'SeaBIOS', 0), ('13', 'OVMF', 1))})
def test_installed(release, firmware, owner, note):
    source = installed.disk(installed.RELEASES[release])
    folder = BUILD / 'log' / f'installed-{release}-{firmware}'
    with Cluster(SHAPE, folder) as cluster, \
            open(folder / 'console.log', 'wb') as log:
        disk = fresh_disk(Path(folder) / 'disk.img', source)
        wanted, plainly = plain(folder, firmware, disk)
        found, seconds = over_nodes(cluster, firmware, disk, owner, log)
        installed.check(disk)
        disk.unlink()
    if found != wanted:
        raise Problem(f'over nodes the guest says {found}, on plain QEMU '
                      f'{wanted}')
    note(f'the login prompt after {seconds:.0f} s, on plain QEMU after '
         f'{plainly:.0f} s')
