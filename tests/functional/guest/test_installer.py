# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's installer comes by PXE through a network interface of node 1, and
asks its questions."""

import os
import shutil
import subprocess

import pytest

from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD
from distkvm.guests.firmware import ovmf
from distkvm.guests.kernel import one_at_a_time, unpack_package
from distkvm.work.shell import Shell
from naming import cases

pytestmark = pytest.mark.full

PACKAGE = 'debian-installer-12-netboot-amd64'
SUITE = 'bookworm'
FOLDER = 'debian-installer/amd64'
SECONDS = 900
APPEND = 'console=ttyS0 priority=low'
# The installer's own menus want a screen.
PXELINUX = f'''serial 0
default install
label install
kernel {FOLDER}/linux
append initrd={FOLDER}/initrd.gz {APPEND}
'''
GRUB = f'''serial
terminal_output serial console
linux /{FOLDER}/linux {APPEND}
initrd /{FOLDER}/initrd.gz
boot
'''
# Its programs by firmware: iPXE takes the first, OVMF the second, which is shim,
# and takes GRUB.
PROGRAM = {'SeaBIOS': 'pxelinux.0', 'OVMF': f'{FOLDER}/bootnetx64.efi'}


@one_at_a_time
def package():
    return unpack_package(PACKAGE, SUITE, PACKAGE, None) / \
        'usr/lib/debian-installer/images/12/amd64/text'


def tftp_folder(path):
    # With files in place of links.
    shutil.copytree(package(), path)
    for name, text in ((path / 'pxelinux.cfg' / 'default', PXELINUX),
                       (path / FOLDER / 'grub' / 'grub.cfg', GRUB)):
        name.unlink(missing_ok=True)
        name.write_text(text)
    return path


def interface(folder, firmware):
    return ['-netdev', f'user,id=n,tftp={folder},'
            f'bootfile=/{PROGRAM[firmware]}',
            '-device', 'virtio-net-pci,netdev=n,bootindex=0']


@cases('firmware', {f"guest: Debian's installer by PXE of node 1, {firmware}":
                    firmware for firmware in ('SeaBIOS', 'OVMF')})
def test_menu(firmware, tmp_path):
    folder = tftp_folder(tmp_path / 'tftp')
    own = [*ovmf(tmp_path), '-device', 'virtio-rng-pci'] \
        if firmware == 'OVMF' else []
    shape = Shape(nodes=2, memory='1G')
    with Cluster(shape, BUILD / 'log' / f'installer-{firmware}') as cluster, \
            open(cluster.log_dir / 'console.log', 'wb') as log:
        cluster.start(1, interface(folder, firmware))
        first = cluster.start(
            0, ['-nodefaults', '-display', 'none', '-serial', 'stdio', *own],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        shell = Shell(first.stdout.fileno(), first.stdin.fileno(), log,
                      check=lambda: cluster.info(0))
        shell.until(b'main menu', SECONDS)
        # The first line of the menu.
        os.write(shell.writer, b'\r')
        shell.until(b'Language:', SECONDS)
