# SPDX-License-Identifier: GPL-2.0-or-later
"""check: images of disks and of firmware, before a node opens them."""

import fcntl
import os
import struct
import subprocess

from distkvm.common import QEMU_IMG
from distkvm.operate import images
from naming import cases, named
from operating import made

# <fcntl.h>
OFD_SETLK = 37
QCOW2 = b'QFI\xfb\0\0\0\3'


def lock(file, byte):
    """As a QEMU does that has the image."""
    fcntl.fcntl(file, OFD_SETLK, struct.pack(
        'hh4xqqi4x', fcntl.F_RDLCK, os.SEEK_SET, byte, 1, 0))


@cases('byte, writes, wanted', {
    'static: check: a disk that nobody has': (None, True, False),
    'static: check: a disk that another one writes': (101, True, True),
    'static: check: a disk that another one reads': (201, True, True),
    'static: check: a disk to read, which another one writes':
        (101, False, True),
    'static: check: a disk to read, which others read': (201, False, False)})
def test_in_use(tmp_path, byte, writes, wanted):
    path = tmp_path / 'disk'
    path.write_bytes(bytes(512))
    with path.open('rb') as file:
        if byte:
            lock(file, byte)
        found = images.image(str(path), 'raw', writes)
    assert (found is not None) == wanted
    assert not found or found[0] == f'{path} is in use by another process'
    assert images.image(str(path), 'raw', writes) is None


@named('static: check: disks that are none')
def test_kinds(tmp_path):
    disk, pipe = tmp_path / 'disk', tmp_path / 'pipe'
    os.mkfifo(pipe)
    for data, wanted in ((QCOW2, None), (b'', 'is no qcow2 image'),
                         (bytes(512), 'is no qcow2 image')):
        disk.write_bytes(data)
        found = images.image(str(disk), 'qcow2', True)
        assert found is wanted or wanted in found[0]
        assert images.image(str(disk), 'raw', True) is None
    for path in (tmp_path, pipe):
        assert 'neither a file nor' in images.image(str(path), 'raw', True)[0]
    # As QEMU does; and of one that is not there something else says it.
    for path in ('/dev/null', str(tmp_path / 'none')):
        assert images.image(path, 'raw', True) is None


@named('static: check: files that a qcow2 image needs besides')
def test_backing(tmp_path):
    """Names are relative to the image, which is said to need them."""
    base, middle, top = (tmp_path / n for n in ('base', 'middle', 'top'))
    made(base, '-o', 'size=1M')
    for path, version, below in ((middle, '0.10', base), (top, '1.1', middle)):
        made(path, '-o', f'compat={version},backing_fmt=qcow2,backing_file='
             f'{below.name}')
    asked = [(str(top), 'qcow2', True)]
    assert images.images(asked) == {str(top): None}
    with base.open('rb') as file:
        lock(file, 101)
        assert images.images(asked)[str(top)] == (
            f'{base} is in use by another process, and {middle} needs it',
            'end that one, or write another disk')
    base.rename(tmp_path / 'moved')
    assert images.images(asked)[str(top)] == (
        f'{base} is not there, and {middle} needs it',
        f'see qemu-img info {middle}, and put {base} there as that says')
    # QEMU takes any bytes of a raw one, also a qcow2 image's; and what is no
    # path is not looked for.
    raw = tmp_path / 'raw'
    (tmp_path / 'moved').rename(base)
    made(raw, '-u', '-o', 'backing_fmt=raw,size=1M,backing_file=middle')
    base.unlink()
    assert images.images([(str(raw), 'qcow2', True)]) == {str(raw): None}
    made(base, '-u', '-o', 'backing_fmt=raw,size=1M,backing_file='
         'nbd://localhost/x')
    assert images.images(asked) == {str(top): None}
    # In a circle QEMU goes on as long as it may.
    made(base, '-u', '-o', 'backing_fmt=qcow2,size=1M,backing_file=file:top')
    assert images.images(asked, str(tmp_path))[str(top)][0] == \
        f'{top} is below itself, and {base} needs it'
    made(base, '-u', '-o', 'backing_fmt=qcow2,size=1M,backing_file='
         f'../{tmp_path.name}/top')
    assert images.images(asked)[str(top)][0].startswith(
        f'{tmp_path}/../{tmp_path.name}/top is below itself, and {base}')
    (tmp_path / 'file').mkdir()
    made(base, '-u', '-o', 'backing_fmt=raw,size=1M,backing_file=./file')
    assert images.images(asked)[str(top)] == (
        f'{tmp_path}/./file is neither a file nor a device, and {base} needs it',
        f'see qemu-img info {base}, and put {tmp_path}/./file there as that says')
    # Old images have the name behind the header, and no extension.
    top.write_bytes(struct.pack('>4sIQI', QCOW2, 2, 72, 8).ljust(72, b'\0') +
                    b'an-image')
    assert images.images(asked)[str(top)][0].startswith(f'{tmp_path}/an-image is')


@named('static: check: names by which QEMU does not look beside the image')
def test_beside(tmp_path):
    """It looks in its own directory, which the file of the data need not be in:
    so its own program."""
    top, elsewhere = tmp_path / 'top', tmp_path / 'elsewhere'
    elsewhere.mkdir()
    for name, more in (('x', ['data_file=x']),
                       ('file:a:b', ['backing_fmt=raw', 'backing_file=file:a:b'])):
        made(top, '-u', '-o', ','.join([*more, 'size=1M']))
        plain = name.removeprefix('file:')
        (tmp_path / plain).touch()
        for cwd in (tmp_path, elsewhere):
            found = images.images([(str(top), 'qcow2', True)], str(cwd))[str(top)]
            opens = subprocess.run([QEMU_IMG, 'map', top], cwd=cwd, check=False,
                                   capture_output=True).returncode == 0
            assert opens == (found is None) == (cwd == tmp_path), (name, found)
            assert opens or found[0] == \
                f'{cwd}/{plain} is not there, and {top} needs it'
    deep = tmp_path.joinpath(*['x' * 200] * 6)
    deep.mkdir(parents=True)
    made(top, '-o', f'data_file={deep}/data,size=1M')
    assert images.images([(str(top), 'qcow2', True)]) == {str(top): None}
    assert images.place_of('nbd:host:1', None, '/') is None
    assert images.place_of('json:{}', '/x/y', '/') is None


@cases('above, byte, wanted', {
    'static: check: data of an image that is written': ('none', None, None),
    'static: check: data that another one reads':
        ('none', 201, 'is in use by another process'),
    'static: check: data of an image below, which another one reads':
        ('qcow2', 201, None),
    'static: check: data of an image below, which another one writes':
        ('qcow2', 101, 'is in use by another process'),
    'static: check: data that cannot be written':
        ('none', 0, 'cannot be written'),
    'static: check: data below that cannot be written': ('qcow2', 0, None),
    'static: check: data of an image to read, that cannot be written':
        ('readonly', 0, None)})
def test_data_file(monkeypatch, tmp_path, above, byte, wanted):
    """QEMU writes to it if and only if it writes the image itself."""
    image, data = tmp_path / 'image', tmp_path / 'data'
    made(image, '-o', f'data_file={data},size=1M')
    if above == 'qcow2':
        made(tmp_path / 'top', '-o', 'backing_fmt=qcow2,backing_file=image')
        image = tmp_path / 'top'
    access = os.access
    # Root may write to all.
    monkeypatch.setattr(os, 'access', lambda path, mode: access(path, mode) and (
        byte != 0 or mode != os.W_OK or path != str(data)))
    with data.open('rb') as file:
        if byte:
            lock(file, byte)
        found = images.images([(str(image), 'qcow2', above != 'readonly')])
    reason = found[str(image)]
    assert (reason is None) == (wanted is None), reason
    assert not wanted or reason[0] == \
        f'{data} {wanted}, and {tmp_path}/image needs it'


@named('static: check: a qcow2 image that names a file of data, and has none')
def test_no_data_file(tmp_path):
    image, data = tmp_path / 'image', tmp_path / 'data'
    made(image, '-o', f'data_file={data},size=1M')
    data.unlink()
    asked = [(str(image), 'qcow2', True)]
    assert images.images(asked)[str(image)]
    with image.open('r+b') as file:
        file.seek(images.FEATURES_AT)
        file.write(bytes(8))
    assert images.images(asked) == {str(image): None}
    subprocess.run([QEMU_IMG, 'map', image], check=True, capture_output=True)


@named('static: check: qcow2 images of which nothing can be read')
def test_unreadable(tmp_path):
    """Something else says so; no other fact of the host is lost by it."""
    broken = []
    for at in (2 ** 62, 2 ** 64 - 1):
        broken.append(tmp_path / str(at))
        broken[-1].write_bytes(struct.pack('>4sIQI', QCOW2, 2, at, 5).ljust(
            512, b'\0'))
    for path in (tmp_path / 'none', *broken):
        assert images.images([(str(path), 'qcow2', True)]) == {str(path): None}


@named('static: check: a backing file of another format')
def test_backing_format(tmp_path):
    """No remedy tells to write "raw" for the disk above."""
    made(tmp_path / 'top', '-u', '-o',
         'backing_fmt=qcow2,size=1M,backing_file=base')
    (tmp_path / 'base').write_bytes(bytes(4096))
    reason, remedy = images.images([(str(tmp_path / 'top'), 'qcow2', True)])[
        str(tmp_path / 'top')]
    assert reason == f'{tmp_path}/base is no qcow2 image, and {tmp_path}/top ' \
        'needs it'
    assert remedy.startswith(f'see qemu-img info {tmp_path}/top, and put ')


@named('static: check: firmware that is no flash memory')
def test_firmware(tmp_path):
    path = tmp_path / 'code.fd'
    for size, right in ((4096, True), (8 << 20, True), (0, False),
                        (4097, False), ((8 << 20) + 4096, False)):
        path.touch()
        os.truncate(path, size)
        assert (images.firmware(str(path)) is None) == right, size
