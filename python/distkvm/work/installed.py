# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks on which Debian is installed: partitions, GRUB, a kernel and an
initramfs of their own.  SeaBIOS and OVMF boot them, without -kernel.

As in image.py nothing is mounted: debootstrap fills a folder, mke2fs makes
the file system in its place in the image, and Python writes GRUB's boot sector
as grub-install does.  Programs that work on the image are those of the new
system, so the host needs debootstrap only."""

import hashlib
import shutil
import struct
import uuid

from ..common import GUEST, call, quiet, say
from ..guests import one_at_a_time
from . import image

# A release's code name, by the number that users know it by.
RELEASES = {'12': 'bookworm', '13': 'trixie'}
PACKAGES = '''
    systemd systemd-sysv udev dbus kmod procps iproute2 linux-image-amd64
    initramfs-tools grub2-common grub-pc-bin grub-efi-amd64-bin
    grub-efi-amd64-signed shim-signed efibootmgr fdisk e2fsprogs dosfstools
    mtools pciutils
'''.split()
SECTOR, MIB = 512, 1 << 20
# First sectors of partitions, and sectors: GRUB's core, the EFI system
# partition, the root.
CORE, CORE_SECTORS = 2048, 2048
ESP, ESP_SECTORS = 4096, 64 * MIB // SECTOR
ROOT = ESP + ESP_SECTORS
# Free space in the root, and sectors behind it for the second table.
ROOM_MIB, LAST_SECTORS = 512, 2048
ROOT_UUID = uuid.UUID('2d8f6b0a-5a14-4c57-9d0e-646973746b76')
ESP_ID = '4D4B2026'
HOST = 'installed'
TABLE = f'''label: gpt
start={CORE}, size={CORE_SECTORS}, type=21686148-6449-6E6F-744E-656564454649
start={ESP}, size={ESP_SECTORS}, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B
start={ROOT}, type=0FC63DAF-8483-4772-8E79-3D69D8477DE4
'''
FILES = {
    'etc/hostname': f'{HOST}\n',
    'etc/hosts': f'127.0.0.1 localhost {HOST}\n',
    'etc/fstab': f'UUID={ROOT_UUID} / ext4 errors=remount-ro 0 1\n'
                 f'UUID={ESP_ID[:4]}-{ESP_ID[4:]} /boot/efi vfat umask=0077 0 '
                 '1\n',
    # update-grub reads this file in the guest.
    'etc/default/grub': '''GRUB_TIMEOUT=1
GRUB_CMDLINE_LINUX="console=ttyS0"
GRUB_TERMINAL="serial console"
GRUB_SERIAL_COMMAND="serial"
GRUB_DISABLE_OS_PROBER=true
''',
    'boot/grub/grub.cfg': f'''serial
terminal_input serial console
terminal_output serial console
set timeout=1
menuentry 'Debian' {{
    search --no-floppy --fs-uuid --set=root {ROOT_UUID}
    linux /vmlinuz root=UUID={ROOT_UUID} ro console=ttyS0
    initrd /initrd.img
}}
'''}
# The two GRUBs find these files by it.
START = f'''search.fs_uuid {ROOT_UUID} root
set prefix=($root)/boot/grub
'''
# Changes to the root, as root of it.  The firmware finds shim at the path of
# removable disks, and shim finds GRUB beside it, which knows /EFI/debian.
SETTLE = '''
set -e
passwd -q -d root
for machine in i386-pc x86_64-efi; do
    mkdir -p /boot/grub/$machine
    cp /usr/lib/grub/$machine/*.mod /usr/lib/grub/$machine/*.lst \\
        /boot/grub/$machine/
done
mkdir -p /boot/efi /make
cd /make
cat >start.cfg
grub-mkimage -O i386-pc -o core.img -p /boot/grub -c start.cfg \\
    biosdisk part_gpt ext2 search_fs_uuid
cp /usr/lib/grub/i386-pc/boot.img .
truncate -s {esp_bytes} esp.img
mformat -i esp.img -F -N {esp_id} ::
mmd -i esp.img ::/EFI ::/EFI/BOOT ::/EFI/debian
mcopy -i esp.img /usr/lib/shim/shimx64.efi.signed ::/EFI/BOOT/BOOTX64.EFI
mcopy -i esp.img /usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed \\
    ::/EFI/BOOT/grubx64.efi
(cat start.cfg; echo 'configfile $prefix/grub.cfg') >grub.cfg
mcopy -i esp.img grub.cfg ::/EFI/debian/grub.cfg
'''
MAKE_TABLE = '''
set -e
cd /make
truncate -s {size} disk.img
sfdisk -q disk.img
'''
# Of GRUB's boot sector: code before the partition table; where the core's first
# sector is; a jump over the check of the drive that BIOSes of the past need.
BOOT_CODE, KERNEL_SECTOR, DRIVE_CHECK = 440, 0x5c, 0x66
# Of the core's first sector: the list of sectors of the rest.
BLOCK_LIST = 0x1f4
CORE_SEGMENT = 0x820


def state(suite):
    """A digest of everything that the image follows from."""
    text = repr((suite, PACKAGES, FILES, START, SETTLE, MAKE_TABLE, TABLE,
                 ROOM_MIB, ROOT_UUID, ESP_ID))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def in_root(root, script, text):
    quiet(['chroot', root, '/bin/sh', '-c', script], input=text)


def bios_boot(boot, core):
    """The boot sector's code, and the core, as grub-install writes them."""
    boot, core = bytearray(boot), bytearray(core)
    struct.pack_into('<Q', boot, KERNEL_SECTOR, CORE)
    boot[DRIVE_CHECK:DRIVE_CHECK + 2] = b'\x90\x90'
    sectors = -(-len(core) // SECTOR)
    assert sectors <= CORE_SECTORS
    struct.pack_into('<QHH', core, BLOCK_LIST, CORE + 1, sectors - 1,
                     CORE_SEGMENT)
    return bytes(boot[:BOOT_CODE]), bytes(core)


def pack(root, target):
    """The image of a root that is settled."""
    made = root / 'make'
    size = int(quiet(['du', '-sm', root]).split()[0]) + ROOM_MIB
    total = (ROOT + LAST_SECTORS) * SECTOR + size * MIB
    in_root(root, MAKE_TABLE.format(size=total), TABLE)
    (made / 'disk.img').rename(target)
    boot, core = bios_boot((made / 'boot.img').read_bytes(),
                           (made / 'core.img').read_bytes())
    with target.open('r+b') as disk:
        disk.write(boot)
        disk.seek(CORE * SECTOR)
        disk.write(core)
        disk.seek(ESP * SECTOR)
        disk.write((made / 'esp.img').read_bytes())
    shutil.rmtree(made)
    call(['mke2fs', '-q', '-t', 'ext4', '-U', str(ROOT_UUID), '-d', root, '-E',
          f'offset={ROOT * SECTOR}', target, f'{size}M'])


@one_at_a_time
def disk(suite):
    """The image of a release; made once, and again when its contents have
    changed."""
    path = GUEST / f'installed-{suite}-{state(suite)}.img'
    if path.exists():
        return path
    image.check_host()
    say(f'installing Debian {suite} on a disk: some minutes, once')
    for old in GUEST.glob(f'installed-{suite}-*.img'):
        old.unlink()
    root = GUEST / f'root-installed-{suite}'
    shutil.rmtree(root, ignore_errors=True)
    try:
        image.bootstrap(root, suite, PACKAGES)
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        in_root(root, SETTLE.format(esp_bytes=ESP_SECTORS * SECTOR,
                                    esp_id=ESP_ID), START)
        partial = path.with_suffix('.partial')
        partial.unlink(missing_ok=True)
        pack(root, partial)
        partial.rename(path)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return path


def check(path):
    """The root file system of an image is clean."""
    quiet(['e2fsck', '-fn', f'{path}?offset={ROOT * SECTOR}'])
