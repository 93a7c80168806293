# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian package of the tree: its files, and the tool where it is put."""

import contextlib
import gzip
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from distkvm import guests, package
from distkvm.common import Problem, quiet
from naming import named
from operating import HOSTS, alive, place, two_hosts

FILES = '''
    usr/bin/distkvm usr/lib/distkvm/qemu-system-x86_64
    usr/share/distkvm/scripts/distkvm usr/share/distkvm/.installed-commit
    usr/share/man/man1/distkvm.1.gz usr/share/man/man7/qemu-distkvm.7.gz
    usr/share/doc/distkvm/copyright usr/share/doc/distkvm/changelog.Debian.gz
    usr/share/doc/distkvm/cluster-file.rst usr/share/doc/distkvm/README.rst
    usr/share/doc/distkvm/libvirt/README.rst
    usr/lib/systemd/system/distkvm@.service
    etc/apparmor.d/abstractions/distkvm
    etc/apparmor.d/abstractions/libvirt-qemu.d/distkvm
'''.split()
# Of the tree, and of no use without it.
VERBS_OF_TREE = ('build', 'demo', 'run', 'test', 'bench', 'package')
DISK_BYTES = 1 << 20
TEXT = '[guest]\nmemory = "64M"\ndisks = ["disk.img"]\n[[node]]\n[[node]]\n'
MAN = (('man1/distkvm.1', ('resize', 'cpu-baseline', 'CLUSTER FILE',
                           'dead-after-ms')),
       ('man7/qemu-distkvm.7', ('/usr/lib/distkvm/qemu-system-x86_64',
                                'tls-creds', 'hold-us')))


@pytest.fixture(scope='module', name='made')
def package_made():
    """A package, and a directory into which it is unpacked."""
    with tempfile.TemporaryDirectory(prefix='dk-') as name:
        deb = package.make(name, 'none')
        root = Path(name) / 'root'
        quiet(['dpkg', '-x', deb, root])
        yield deb, root


@contextlib.contextmanager
def installed(root, text=TEXT, fake=False):
    """A place whose tool is that of the package, and knows no tree."""
    with place(text, fake=fake) as found:
        found.program = root / 'usr' / 'bin' / 'distkvm'
        (found.path / 'disk.img').write_bytes(
            guests.boot_sector().read_bytes().ljust(DISK_BYTES, b'\0'))
        yield found


@named('door: package: its files')
def test_files(made):
    deb, root = made
    missing = [name for name in FILES if not os.path.lexists(root / name)]
    if missing:
        raise Problem(f'it lacks {missing}')
    # Root's alone, and nobody else may write.
    for line in quiet(['dpkg-deb', '-c', deb]).splitlines():
        mode, owner = line.split()[:2]
        if '__pycache__' in line or owner != 'root/root' or \
                mode[0] != 'l' and 'w' in (mode[5], mode[8]):
            raise Problem(f'an odd mode: {line}')
        # Each user may call the tool, and reads what it imports.
        if mode[7] != 'r' or mode[0] == 'd' and mode[9] != 'x':
            raise Problem(f'others cannot read it: {line}')
    fields = quiet(['dpkg-deb', '-f', deb, 'Depends'])
    for name in ('libc6', 'libglib2.0-0', 'libgnutls30', 'seabios',
                 'python3 (>= 3.11)'):
        if name not in fields:
            raise Problem(f'it does not depend on {name}: {fields}')
    program = root / package.LIB / 'qemu-system-x86_64'
    if '.debug_info' in quiet(['readelf', '-SW', program]):
        raise Problem('QEMU has what debuggers read')
    quiet(['md5sum', '-c', '--quiet', '-'], cwd=root,
          input=quiet(['dpkg-deb', '-I', deb, 'md5sums']))
    if shutil.which('lintian'):
        quiet(['lintian', '--fail-on', 'error', deb])


@named('door: package: pages of the manual')
def test_manual(made):
    _, root = made
    for name, words in MAN:
        page = gzip.decompress(
            (root / f'usr/share/man/{name}.gz').read_bytes()).decode()
        # A hyphen that is no minus has a backslash in front.
        text = page.replace('\\', '')
        missing = [w for w in words if w not in text]
        if missing or '.TH' not in page:
            raise Problem(f'{name} lacks {missing}')


@named('door: package: a cluster of one machine')
def test_life(made):
    """With the QEMU of the package, from check to down."""
    _, root = made
    with installed(root) as found:
        for verb in VERBS_OF_TREE:
            said = subprocess.run([str(found.program), verb],
                                  capture_output=True, text=True, check=False)
            if said.returncode != 2 or 'invalid choice' not in said.stderr:
                raise Problem(f'{verb}: {said}')
        assert 'no errors' in found.tool('check').stdout
        assert str(root) in found.tool('check', '--commands').stdout
        found.tool('up')
        rows = found.status()
        assert [r['state'] for r in rows] == ['running', 'running']
        for row in rows:
            program = os.readlink(f"/proc/{row['pid']}/exe")
            assert program == str(root / package.LIB / 'qemu-system-x86_64')
        page = found.path / 'page.html'
        found.tool('report', '--seconds', '0.5', '--interval', '0.2', '-o',
                   str(page))
        assert 'All nodes take part' in page.read_text()
        assert '<domain' in found.tool('xml', '--node', '1').stdout
        assert 'asked the guest to power off' in found.tool('down').stderr
        assert not any(alive(r['pid']) for r in rows)


@named('door: package: the best CPU')
def test_cpu_baseline(made):
    _, root = made
    said = quiet([root / 'usr/bin/distkvm', 'cpu-baseline', 'tcg'])
    assert 'tried here: a tcg node starts with it' in said


@named('door: package: keys, and hosts that have it')
def test_hosts(made):
    """The tool that it calls on other hosts is that of the package."""
    _, root = made
    with installed(root, HOSTS, fake=True) as found:
        two_hosts(found)
        assert (found.path / 'keys' / 'keys.psk').exists()
        found.tool('up')
        assert [r['state'] for r in found.status()] == ['running'] * 2
        found.tool('down')
