# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that firmware loads from a disk or from a network, and firmware."""

import os
import struct
from pathlib import Path

FIRMWARE = Path('/usr/share/OVMF')
# Where iPXE puts a program, and bytes of it before its text.
SEGMENT, BYTES = 0x7c0, 128 << 10


def says(node):
    return f'the boot program of node {node}'


def program(node, load_port):
    """x86 code, of any mode, that writes to the serial port and stops."""
    text = says(node).encode() + b'\r\n'
    return load_port + b''.join(b'\xb0%c\xee' % c for c in text) + b'\xfa\xf4'


def sector_image(path, node):
    """A disk whose first sector SeaBIOS executes."""
    code = program(node, b'\xba\xf8\x03')           # mov dx, 0x3f8
    path.write_bytes((code.ljust(510, b'\0') + b'\x55\xaa')
                     .ljust(1 << 20, b'\0'))
    return path


def efi_program(node):
    """A PE file of one section, which OVMF executes."""
    code = program(node, b'\xba\xf8\x03\0\0')       # mov edx, 0x3f8
    dos = b'MZ'.ljust(0x3c, b'\0') + struct.pack('<I', 0x40)
    coff = struct.pack('<4sHHIIIHH', b'PE', 0x8664, 1, 0, 0, 0, 0xf0, 0x206)
    optional = struct.pack('<HBBIIIIIQIIHHHHHHIIIIHHQQQQII', 0x20b, 0, 0,
                           0x200, 0, 0, 0x1000, 0x1000, 0, 0x1000, 0x200, 0, 0,
                           0, 0, 0, 0, 0, 0x2000, 0x200, 0, 10, 0, 0, 0, 0, 0,
                           0, 16).ljust(0xf0, b'\0')
    section = struct.pack('<8sIIIIIIHHI', b'.text', 0x200, 0x1000, 0x200, 0x200,
                          0, 0, 0, 0, 0x60000020)
    return (dos + coff + optional + section).ljust(0x200, b'\0') + \
        code.ljust(0x200, b'\0')


def fat_entry(name, attributes, cluster, size=0):
    return struct.pack('<11sB14xHI', name, attributes, cluster, size)


def fat_folder(cluster, above, *entries):
    return b''.join([fat_entry(b'.'.ljust(11), 0x10, cluster),
                     fat_entry(b'..'.ljust(11), 0x10, above),
                     *entries]).ljust(512, b'\0')


def efi_image(path, node):
    """A FAT12 disk with nothing but the file /EFI/BOOT/BOOTX64.EFI."""
    code = efi_program(node)                        # two clusters
    boot = struct.pack('<3s8sHBHBHHBHHHIIBBBI11s8s', b'\xeb\x3c\x90',
                       b'distkvm', 512, 1, 1, 1, 16, 2880, 0xf8, 9, 18, 2, 0, 0,
                       0x80, 0, 0x29, node, b'NODE'.ljust(11),
                       b'FAT12'.ljust(8)).ljust(510, b'\0') + b'\x55\xaa'
    # Chains of 12 bits: 2 and 3 are folders, 4 goes on at 5.
    chains = bytes.fromhex('f8ffff' 'ffffff' '05f0ff').ljust(9 * 512, b'\0')
    root = fat_entry(b'EFI'.ljust(11), 0x10, 2).ljust(512, b'\0')
    path.write_bytes(b''.join([
        boot, chains, root,
        fat_folder(2, 0, fat_entry(b'BOOT'.ljust(11), 0x10, 3)),
        fat_folder(3, 2, fat_entry(b'BOOTX64 EFI', 0x20, 4, len(code))),
        code]).ljust(2880 * 512, b'\0'))
    return path


def network_program(node):
    """A program of 128 KiB for SeaBIOS's iPXE, which sums its own words, and
    then writes the text behind them to the serial port.  All words make 0."""
    last = SEGMENT + BYTES // 16
    code = b''.join([
        b'\xfc\x31\xdb',                            # cld; xor bx, bx
        b'\xb8' + struct.pack('<H', SEGMENT),       # mov ax, SEGMENT
        b'\x8e\xd8\x31\xf6',                        # mov ds, ax; xor si, si
        b'\xb9\x00\x80\x50',                        # mov cx, 0x8000; push ax
        b'\xad\x01\xc3\xe2\xfb',                    # lodsw; add bx, ax; loop
        b'\x58\x05\x00\x10',                        # pop ax; add ax, 0x1000
        b'\x3d' + struct.pack('<H', last),          # cmp ax, last
        b'\x75\xea',                                # jne mov ds, ax
        b'\x85\xdb\x75\x0d',                        # test bx, bx; jne cli
        b'\x8e\xd8\x31\xf6',                        # mov ds, ax; xor si, si
        b'\xba\xf8\x03',                            # mov dx, 0x3f8
        b'\xac\xee\x3c\x0a\x75\xfa',                # lodsb; out; until '\n'
        b'\xfa\xf4'])                               # cli; hlt
    words = code + os.urandom(BYTES - 2 - len(code))
    total = sum(struct.unpack(f'<{len(words) // 2}H', words))
    return words + struct.pack('<H', -total & 0xffff) + \
        says(node).encode() + b'\r\n'


def ovmf(folder):
    variables = folder / 'vars.fd'
    variables.write_bytes((FIRMWARE / 'OVMF_VARS_4M.fd').read_bytes())
    return ['-drive', 'if=pflash,format=raw,readonly=on,file='
            f"{FIRMWARE / 'OVMF_CODE_4M.fd'}",
            '-drive', f'if=pflash,format=raw,file={variables}']
