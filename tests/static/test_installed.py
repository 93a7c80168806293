# SPDX-License-Identifier: GPL-2.0-or-later
"""The tool where a package puts it: it starts, and names itself as users call it."""

import os
import re
import subprocess
import sys

import pytest

from distkvm import manual, package
from distkvm.common import Problem
from naming import named
from operating import place

# Each module by itself: a verb may import one later than at its start.
IMPORT_ALL = '''
import importlib, pkgutil, sys
sys.path.insert(0, sys.argv[1])
import distkvm
for found in pkgutil.walk_packages(distkvm.__path__, "distkvm."):
    if not found.name.startswith(BUILDING):
        importlib.import_module(found.name)
        print(found.name)
'''
# Verbs of the tree; the tool of a package does not import them.
BUILDING = tuple(f'distkvm.cli.{name}' for name in (
    'bench', 'build', 'demo', 'package', 'run', 'test'))


@pytest.fixture(name='root')
def root_of_tool(tmp_path):
    package.put_tool(package.Stage(tmp_path), 'a' * 40)
    return tmp_path


def environment(root):
    return {**os.environ, 'PYTHONPATH': '', 'PYTHONDONTWRITEBYTECODE': '1',
            'HOME': str(root)}


@named('static: installed: no module needs one that only the tree has')
def test_imports(root):
    done = subprocess.run(
        [sys.executable, '-c', f'BUILDING = {BUILDING!r}{IMPORT_ALL}',
         str(root / package.SHARE / 'python')], env=environment(root),
        capture_output=True, text=True, check=False)
    if done.returncode:
        raise Problem(done.stderr)
    assert {'distkvm.report.names', 'distkvm.cli.top'} <= \
        set(done.stdout.split())


@named('static: installed: it names itself as users call it')
def test_names(root):
    """There is no scripts/distkvm on a host that has the package."""
    with place() as found:
        found.program = root / 'usr' / 'bin' / 'distkvm'
        done = [found.tool('up'), found.tool('up', '--no-check', status=1),
                found.tool('status'), found.tool('down')]
        help_text = found.tool('--help').stdout
        done += [found.tool(verb, '--help') for verb in
                 manual.verbs_of(help_text)]
    words = help_text + ''.join(d.stdout + d.stderr for d in done)
    assert 'distkvm console ' in words and 'distkvm down ' in words
    assert 'scripts/distkvm' not in words


@named('static: installed: programs that verbs ask for are recommended')
def test_recommends(monkeypatch, tmp_path):
    monkeypatch.setattr(package, 'libraries', lambda _: 'libc6')
    stage = package.Stage(tmp_path)
    package.put_tool(stage, 'a' * 40)
    package.put_control(stage, '1', None)
    control = (tmp_path / 'DEBIAN' / 'control').read_text()
    named_in = set(re.findall(r'[\w.+-]+', ''.join(
        re.findall('^(?:Depends|Recommends): (.*)', control, re.M))))
    modules = tmp_path / package.SHARE / 'python' / 'distkvm'
    asked = {name for module in ('keys.py', 'operate/facts.py') for name in
             re.findall(r'apt-get install ([\w.+-]+)',
                        (modules / module).read_text())}
    assert {'gnutls-bin', 'libucx0'} == asked & named_in == asked


@named('static: installed: others may read it, whatever the umask')
def test_umask(tmp_path):
    old = os.umask(0o077)
    try:
        stage = package.Stage(tmp_path / 'root')
        package.put_tool(stage, 'a' * 40)
        package.put_etc(stage)
    finally:
        os.umask(old)
    for path in stage.root.rglob('*'):
        if not path.is_symlink():
            mode = path.stat().st_mode & 0o777
            assert mode in ((0o755,) if path.is_dir() else (0o644, 0o755)), \
                path
