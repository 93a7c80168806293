# SPDX-License-Identifier: GPL-2.0-or-later
"""Sources from the archive: fetched without root's rights, unpacked only if
they are what was pinned."""

import hashlib
import pwd
import subprocess
import types

import pytest

from distkvm import apt
from distkvm.common import Problem
from naming import cases, named
from programs import script

VERSION = '10.0.1'
CONTROL = '''Source: qemu
Maintainer: nobody <nobody@invalid>

Package: qemu
Architecture: all
Description: nothing
'''
CHANGELOG = f'''qemu ({VERSION}) unstable; urgency=low

  * Nothing.

 -- nobody <nobody@invalid>  Thu, 01 Jan 2026 00:00:00 +0000
'''


@pytest.fixture(name='tree')
def qemu_tree():
    return script('qemu-tree')


def pack(directory, word):
    """A source package with a file that says this word."""
    source = directory / f'qemu-{VERSION}'
    (source / 'debian' / 'source').mkdir(parents=True, exist_ok=True)
    for name, text in (('control', CONTROL), ('changelog', CHANGELOG),
                       ('source/format', '3.0 (native)\n')):
        (source / 'debian' / name).write_text(text)
    (source / 'VERSION').write_text(f'{VERSION}\n')
    (source / 'word').write_text(word)
    subprocess.run(['dpkg-source', '-b', source], cwd=directory, check=True,
                   capture_output=True)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cases('changed, words', {
    'static: a source package as it was pinned': (None, None),
    'static: a source package whose .dsc was changed': ('dsc', 'the pin says'),
    'static: a source package whose archive was changed': (
        'tar.xz', 'does not unpack')})
def test_unpack(changed, words, tree, tmp_path, capfd, monkeypatch):
    """The .dsc is compared with the pin, and all else with the .dsc."""
    cache = tmp_path / 'qemu'
    cache.mkdir()
    pack(cache, 'right')
    dsc = cache / f'qemu_{VERSION}.dsc'
    pin = {'version': VERSION, 'series': '10.0', 'suite': 'trixie',
           'dsc-sha256': digest(dsc), 'sha256': ''}
    if changed:
        other = tmp_path / 'other'
        other.mkdir()
        pack(other, 'wrong')
        (cache / f'qemu_{VERSION}.{changed}').write_bytes(
            (other / f'qemu_{VERSION}.{changed}').read_bytes())
    monkeypatch.setattr(tree, 'CACHE', tmp_path)
    target = tmp_path / 'target'
    if not changed:
        tree.unpack(None, pin, target)
        if (target / 'word').read_text() != 'right':
            raise Problem('it unpacks something else')
        return
    with pytest.raises((SystemExit, Problem)) as ended:
        tree.unpack(None, pin, target)
    said = f'{ended.value} {"".join(capfd.readouterr())}'
    if words not in said or (target / 'word').exists():
        raise Problem(f'it unpacks, or says {said}')


@named("static: apt fetches as a user of its own")
def test_apt_user(tmp_path, monkeypatch):
    """Root gives apt's user a directory to write to, and takes the work only
    where there is no such user, and says so."""
    given, said = [], []
    monkeypatch.setattr(apt.os, 'geteuid', lambda: 0)
    monkeypatch.setattr(apt.os, 'chown', lambda *words: given.append(words))
    monkeypatch.setattr(apt, 'say', said.append)
    monkeypatch.setattr(pwd, 'getpwnam',
                        lambda name: types.SimpleNamespace(pw_uid=42))
    if apt.sandbox_options(tmp_path) or given != [(tmp_path, 42, -1)] or said:
        raise Problem(f'apt would work as root: {given} {said}')

    def nobody(name):
        raise KeyError(name)

    monkeypatch.setattr(pwd, 'getpwnam', nobody)
    if apt.sandbox_options(tmp_path) != ['-o', 'APT::Sandbox::User=root'] or \
            'as root' not in said[0]:
        raise Problem(f'without such a user: {said}')
