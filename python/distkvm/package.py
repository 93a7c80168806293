# SPDX-License-Identifier: GPL-2.0-or-later
"""A Debian package of a tree that is built: files, control, dpkg-deb.

QEMU is beside the distribution's, which gives the firmware; the tool is in
/usr/share/distkvm as in the tree, and /usr/bin/distkvm is a link to it."""

import gzip
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import manual
from .common import COMMIT, QEMU, TOP, Problem, call, quiet

NAME = 'distkvm'
PACKAGING = TOP / 'packaging'
LIB, SHARE, DOC = 'usr/lib/distkvm', 'usr/share/distkvm', \
    'usr/share/doc/distkvm'
APPARMOR = 'etc/apparmor.d/abstractions'
# Modules that only the tree has a use for.
LEFT_OUT = ('bench', 'work', 'door', 'guests', '__pycache__')
# Firmware and option ROMs are the distribution's.
DEPENDS = 'python3 (>= 3.11), seabios, ipxe-qemu, qemu-system-data'
DESCRIPTION = '''one virtual machine over several hosts
 distkvm spreads one virtual machine over several hosts: QEMU processes on all of
 them are together one x86 machine, with one memory, one set of CPUs and one set
 of devices.  The guest is unmodified.
 .
 This package has the QEMU and the tool that starts and watches clusters.'''
MODES = {'directory': 0o755, 'program': 0o755, 'file': 0o644}


class Stage:
    """A directory that becomes the root of an installation."""

    def __init__(self, root):
        self.root = root

    def directory(self, path):
        path = self.root / path
        # Modes are a package's own, and not those of the umask.
        for each in (*reversed(path.parents), path):
            if each.is_relative_to(self.root) and not each.exists():
                each.mkdir(parents=True)
                each.chmod(MODES['directory'])
        return path

    def write(self, path, data, kind='file'):
        path = self.directory(Path(path).parent) / Path(path).name
        path.write_bytes(data if isinstance(data, bytes) else data.encode())
        path.chmod(MODES[kind])

    def copy(self, source, path, kind='file'):
        self.write(path, Path(source).read_bytes(), kind)

    def packed(self, path, data):
        """With nothing in it that another run would change."""
        self.write(f'{path}.gz', gzip.compress(data.encode(), 9, mtime=0))

    def files(self):
        return sorted(p for p in self.root.rglob('*')
                      if p.is_file() and not p.is_symlink() and
                      'DEBIAN' not in p.relative_to(self.root).parts)


def commit():
    """The commit of the tree, its time, and whether files differ from it."""
    def git(*args):
        # Times of committers in several zones are compared.
        return quiet(['git', '-C', TOP, *args],
                     env={**os.environ, 'TZ': 'UTC'}).strip()
    return (git('rev-parse', 'HEAD'),
            git('log', '-1', '--format=%cd', '--date=format-local:%Y%m%d.%H%M%S'),
            bool(git('status', '--porcelain')))


def version_of(name, when, changed):
    """Later commits have higher versions."""
    return f"0~{when}+g{name[:10]}{'+changed' if changed else ''}"


def put_qemu(stage):
    target = stage.directory(LIB) / QEMU.name
    call(['strip', '--strip-unneeded', '-o', target, QEMU])
    target.chmod(0o755)
    return target


def put_tool(stage, name):
    # The system's Python, whatever a user has in front of it.
    text = (TOP / 'scripts' / 'distkvm').read_text()
    stage.write(f'{SHARE}/scripts/distkvm', text.replace(
        '#!/usr/bin/env python3', '#!/usr/bin/python3', 1), 'program')
    source = TOP / 'python'
    for path in sorted((source / NAME).rglob('*')):
        parts = path.relative_to(source).parts
        if path.is_file() and not set(parts) & set(LEFT_OUT):
            stage.copy(path, Path(SHARE, 'python', *parts))
    # The tool knows by this file that it was installed.
    stage.write(f'{SHARE}/{COMMIT.name}', name + '\n')
    link = stage.directory('usr/bin') / NAME
    link.symlink_to('../share/distkvm/scripts/distkvm')


def put_etc(stage):
    stage.directory('etc/distkvm')
    stage.copy(PACKAGING / 'distkvm@.service',
               'usr/lib/systemd/system/distkvm@.service')
    stage.copy(PACKAGING / 'apparmor', f'{APPARMOR}/distkvm')
    # Read by libvirt's profiles since Debian 13.
    stage.write(f'{APPARMOR}/libvirt-qemu.d/distkvm',
                'include <abstractions/distkvm>\n')
    stage.copy(PACKAGING / '60-userfaultfd.rules',
               f'{DOC}/examples/60-userfaultfd.rules')
    stage.write('DEBIAN/conffiles', f'/{APPARMOR}/distkvm\n'
                f'/{APPARMOR}/libvirt-qemu.d/distkvm\n')


def put_docs(stage, version):
    for path in [TOP / 'README.rst', *sorted((TOP / 'docs').rglob('*'))]:
        if path.suffix in ('.rst', '.xml', '.toml'):
            name = path.relative_to(TOP)
            stage.copy(path, Path(DOC, *[p for p in name.parts
                                         if p != 'docs']))
    stage.copy(PACKAGING / 'copyright', f'{DOC}/copyright')
    stage.copy(PACKAGING / 'README.Debian', f'{DOC}/README.Debian')
    date = quiet(['git', '-C', TOP, 'log', '-1', '--format=%cD']).strip()
    stage.packed(f'{DOC}/changelog.Debian', (
        f'{NAME} ({version}) unstable; urgency=medium\n\n  * Built from the '
        f'tree.\n\n -- {maintainer()}  {date}\n'))


def maintainer():
    return quiet(['git', '-C', TOP, 'log', '-1',
                  '--format=%an <%ae>']).strip()


def put_manual(stage):
    tool = stage.root / 'usr' / 'bin' / NAME
    stage.packed('usr/share/man/man1/distkvm.1', manual.of_tool(tool))
    stage.packed('usr/share/man/man7/qemu-distkvm.7', manual.of_qemu())


def libraries(program):
    """The packages of the libraries that a program uses, and versions."""
    # dpkg-shlibdeps reads the name of a source package.
    with tempfile.TemporaryDirectory() as scratch:
        control = Path(scratch) / 'debian' / 'control'
        control.parent.mkdir()
        control.write_text(f'Source: {NAME}\n\nPackage: {NAME}\n'
                           'Architecture: any\n')
        said = subprocess.run(
            ['dpkg-shlibdeps', '-O', f'-e{program}'], cwd=scratch,
            capture_output=True, text=True, check=False)
    found = re.search(r'^shlibs:Depends=(.+)$', said.stdout, re.M)
    if said.returncode or not found:
        raise Problem(f'dpkg-shlibdeps does not name the libraries of '
                      f'{program}: {said.stdout}{said.stderr}')
    return found.group(1)


def put_control(stage, version, program):
    size = sum(p.stat().st_size for p in stage.files()) + 1023 >> 10
    stage.write('DEBIAN/control', f'''Package: {NAME}
Version: {version}
Architecture: {quiet(['dpkg', '--print-architecture']).strip()}
Maintainer: {maintainer()}
Installed-Size: {size}
Depends: {DEPENDS}, {libraries(program)}
Recommends: openssh-client, libucx0, gnutls-bin
Suggests: ovmf, libvirt-daemon-system
Section: otherosfs
Priority: optional
Description: {DESCRIPTION}
''')
    stage.write('DEBIAN/md5sums', ''.join(
        f'{hashlib.md5(p.read_bytes()).hexdigest()}  '
        f'{p.relative_to(stage.root)}\n' for p in stage.files()
        if 'etc' not in p.relative_to(stage.root).parts[:1]))
    for name in ('postinst', 'prerm', 'postrm'):
        stage.copy(PACKAGING / name, f'DEBIAN/{name}', 'program')


def make(directory, compression='xz'):
    """The path of a package of this tree, in a directory."""
    for program in ('dpkg-deb', 'dpkg-shlibdeps', 'strip'):
        if not shutil.which(program):
            raise Problem(f'there is no {program}: apt-get install dpkg-dev '
                          'binutils')
    if not QEMU.exists():
        raise Problem('QEMU is not built: scripts/distkvm build')
    name, when, changed = commit()
    version = version_of(name, when, changed)
    directory = Path(directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='distkvm-package-') as scratch:
        # mkdtemp() gives others no way in, and the mode would be the root's.
        root = Path(scratch) / 'root'
        root.mkdir(mode=0o755)
        stage = Stage(root)
        program = put_qemu(stage)
        put_tool(stage, name)
        put_etc(stage)
        put_docs(stage, version)
        put_manual(stage)
        put_control(stage, version, program)
        # A Dockerfile copies all that are there.
        for old in directory.glob(f'{NAME}_0~*.deb'):
            old.unlink()
        quiet(['dpkg-deb', '--root-owner-group', f'-Z{compression}',
               '--build', root, directory])
    return next(directory.glob(f'{NAME}_{version}_*.deb'))
