# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a node of this host could open a disk, or its firmware.

Reasons are as in facts.py."""

import contextlib
import fcntl
import os
import re
import stat
import struct

from .facts import DANGLING, MISSING, readable, writable

QCOW2 = b'QFI\xfb'
NO_QCOW2 = 'is no qcow2 image'
NO_DISK = 'is neither a file nor a device'
# Of its header (docs/interop/qcow2.rst of QEMU): the magic, the version, place
# and length of the backing file's name; from version 3 on, where the incompatible
# features are and the header's length, and how long it was before.
HEAD, LENGTH_AT, LENGTH_OLD = struct.Struct('>4sIQI'), 100, 72
FEATURES_AT, HAS_DATA_FILE = 72, 1 << 2
# Of an extension behind the header: its type, and its length.
EXTENSION = struct.Struct('>II')
BACKING_FORMAT, DATA_FILE = 0xe2792aca, 0x44415441
# Bounds for what an image says of itself: extensions, and bytes of a name.  QEMU
# takes 1023 of a backing file, and a whole path of a file with data.
EXTENSIONS_MAX, NAME_MAX = 100, 4095
# A name that is no path, and what is ahead of a path that is not the image's
# neighbour.
PROTOCOL, PLAIN = re.compile(r'[^:/]*:'), 'file:'
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
            return (f'{path} {NO_QCOW2}', 'write format = "raw" for a '
                    'disk of [[node.disk]], or give it another name')
        if is_locked(file.fileno(), WRITES) or \
                writes and is_locked(file.fileno(), NO_WRITER):
            return (f'{path} is in use by another process', 'end that one, or '
                    'write another disk')
    return None


def extensions(file, head, end):
    """Those of a qcow2 header, by type, which end there unless that is 0."""
    found, features = {}, 0
    version, = struct.unpack_from('>I', head, len(QCOW2))
    file.seek(LENGTH_OLD)
    if version > 2:
        features, = struct.unpack_from('>Q', head, FEATURES_AT)
        file.seek(struct.unpack_from('>I', head, LENGTH_AT)[0])
    for _ in range(EXTENSIONS_MAX):
        if 0 < end < file.tell() + EXTENSION.size:
            break
        kind, length = EXTENSION.unpack(file.read(EXTENSION.size))
        if not kind:
            break
        at = file.tell()
        found[kind] = os.fsdecode(file.read(min(length, NAME_MAX)))
        file.seek(at + length + -length % EXTENSION.size)
    if not features & HAS_DATA_FILE:
        # The name of a file that the image had once; QEMU does not look at it.
        found.pop(DATA_FILE, None)
    return found


def place_of(name, neighbour, cwd):
    """Where QEMU looks for a file by a name, if that is a path; by a plain one
    beside the image `neighbour`, or in its own directory if there is none."""
    if not name or '\0' in name:
        return None
    if name.startswith(PLAIN):
        return os.path.join(cwd, name.removeprefix(PLAIN))
    if PROTOCOL.match(name):
        return None
    # As QEMU does: the directory of a link is not that of what it leads to.
    return os.path.join(os.path.dirname(neighbour) if neighbour else cwd, name)


def named_by(path, cwd):
    """Paths that a qcow2 image names: each with its format or '', and whether it
    has the image's data."""
    found = []
    # Of a header that ends too early, or points to no place, QEMU says it.
    with contextlib.suppress(ValueError, struct.error), open(path, 'rb') as file:
        head = file.read(LENGTH_AT + 4)
        magic, _, at, length = HEAD.unpack_from(head)
        if magic == QCOW2:
            more = extensions(file, head, at)
            found.append((place_of(more.get(DATA_FILE), None, cwd), 'raw', True))
            file.seek(at)
            name = at and os.fsdecode(file.read(min(length, NAME_MAX)))
            found.append((place_of(name, path, cwd),
                          more.get(BACKING_FORMAT, ''), False))
    return [each for each in found if each[0]]


def identity(path):
    """Of a file, whatever it is called."""
    found = os.stat(path)
    return found.st_dev, found.st_ino


def because(above, name, reason, remedy):
    """A reason and a remedy of a file that another one needs.

    It is named by `above` and not by the cluster file, so that no word there helps:
    with format = "raw" the guest would write over `above`."""
    if reason.endswith((MISSING, DANGLING, NO_QCOW2, NO_DISK)):
        remedy = f'see qemu-img info {above}, and put {name} there as that says'
    return f'{reason}, and {above} needs it', remedy


def below(path, writes, cwd):
    """Why a file cannot be opened that a qcow2 image needs besides.  QEMU writes to
    that with the data of an image that it writes."""
    # That an image is not there is said by facts.readable(), of the disk, or here.
    with contextlib.suppress(OSError):
        seen, left = {identity(path)}, [(path, writes)]
        while left:
            above, writes = left.pop()
            for name, kind, has_data in named_by(above, cwd):
                written = writes and has_data
                reason = (writable if written else readable)(name) or \
                    image(name, kind, written)
                if not reason and identity(name) in seen:
                    reason = f'{name} is below itself', 'write another disk'
                if reason:
                    return because(above, name, *reason)
                if kind in ('qcow2', ''):
                    seen.add(identity(name))
                    left.append((name, False))
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
            return f'{path} {NO_DISK}', 'write the path of a disk'
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


def images(request, cwd=None):
    """By path: a reason, or None.  `cwd`: the directory of the nodes that have
    them, if it is not this one."""
    cwd = cwd or os.getcwd()
    return {path: firmware(path) if kind == 'firmware' else
            image(path, kind, writes) or
            kind == 'qcow2' and below(path, writes, cwd) or None
            for path, kind, writes in request}
