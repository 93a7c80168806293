# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a node of this host could open a disk, or its firmware.

Reasons are as in facts.py."""

import contextlib
import fcntl
import os
import stat
import struct

QCOW2 = b'QFI\xfb'
# <fcntl.h>: F_OFD_GETLK, and a struct flock.
OFD_GETLK, FLOCK = 36, struct.Struct('hh4xqqi4x')
# Bytes that QEMU locks (block/file-posix.c): of those that write, and of those
# that let nobody write.
WRITES, NO_WRITER = 101, 201
# Of if=pflash: whole sectors, and what the machine takes.
FLASH_UNIT, FLASH_MAX = 4 << 10, 8 << 20


def is_locked(fd, byte):
    asked = FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    return FLOCK.unpack(fcntl.fcntl(fd, OFD_GETLK, asked))[0] != fcntl.F_UNLCK


def opened(path, kind, writes):
    """Why an image of this kind cannot be opened."""
    with open(path, 'rb') as file:
        head = file.read(len(QCOW2))
        if kind == 'qcow2' and head != QCOW2:
            return (f'{path} is no qcow2 image', 'write format = "raw" for a '
                    'disk of [[node.disk]], or give it another name')
        if is_locked(file.fileno(), WRITES) or \
                writes and is_locked(file.fileno(), NO_WRITER):
            return (f'{path} is in use by another process', 'end that one, or '
                    'write another disk')
    return None


def doubt(path, kind):
    """A reason to look at a disk again with which a node would start."""
    with contextlib.suppress(OSError):
        if kind == 'raw' and stat.S_ISREG(os.stat(path).st_mode):
            with open(path, 'rb') as file:
                if file.read(len(QCOW2)) == QCOW2:
                    return (f'{path} is a qcow2 image, and the guest gets its '
                            'bytes as they are', 'name it .qcow2, or write '
                            'format = "qcow2" for a disk of [[node.disk]]')
    return None


def image(path, kind, writes):
    """Whether a node could open a disk; facts.readable() says whether it is
    there."""
    with contextlib.suppress(OSError):
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
            return opened(path, kind, writes)
        if not stat.S_ISCHR(mode):
            return (f'{path} is neither a file nor a device', 'write the path '
                    'of a disk')
    return None


def firmware(path):
    with contextlib.suppress(OSError):
        size = os.stat(path).st_size
        if not size or size % FLASH_UNIT or size > FLASH_MAX:
            return (f'{path} has {size} bytes, and is no image of a flash '
                    'memory', 'name one like OVMF_CODE_4M.fd')
    return None


def doubts(request):
    """By path: a reason that stops no node, or None."""
    return {path: doubt(path, kind) for path, kind, _ in request}


def images(request):
    """By path: a reason, or None."""
    return {path: firmware(path) if kind == 'firmware' else
            image(path, kind, writes) for path, kind, writes in request}
