# SPDX-License-Identifier: GPL-2.0-or-later
"""Broken cluster files: each has a line for each error, exit status 2, and
starts nothing.

Mistakes are those of mistakes.py, and files with a line that was
changed in the way of a person who types."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

from distkvm import cluster_devices, cluster_file, cluster_shares
from distkvm.operate.state import State
from mistakes import (DEVICE_MISTAKES, DEVICES, FILES, HOSTS, MISTAKES,
                      SMALLEST)
from naming import cases, named
from programs import script

# Verbs that read the file before they do anything.
VERBS = ('check', 'up', 'keys', 'status', 'console', 'top', 'down', 'logs',
         'report', 'xml')
WHOLE = HOSTS + DEVICES
KEY = re.compile(r'^([\w-]+)( = )(.*)$')


def misspelled(words):
    key = KEY.match(words)
    return key and f'{key.group(1)[:-1]}{key.group(2)}{key.group(3)}'


def swapped(words):
    """Two letters of a key."""
    key = KEY.match(words)
    if not key or key.group(1)[0] == key.group(1)[1]:
        return None
    name = key.group(1)
    return f'{name[1]}{name[0]}{name[2:]}{key.group(2)}{key.group(3)}'


def retyped(words):
    """A text in place of a number, and the other way round."""
    key = KEY.match(words)
    if not key or key.group(3).startswith('"""'):
        return None
    value = '7' if key.group(3).startswith('"') else f'"{key.group(3)}"'
    return f'{key.group(1)}{key.group(2)}{value}'


def opened(words):
    """A quote or a bracket is missing."""
    return words[:-1] if words.endswith(('"', ']')) and \
        not words.endswith('"""') else None


def emptied(words):
    key = KEY.match(words)
    return key and f'{key.group(1)}{key.group(2)}""'


def twice(words):
    return f'{words}\n{words}' if KEY.match(words) else None


def listed(words):
    key = KEY.match(words)
    return key and f'{key.group(1)}{key.group(2)}[[]]'


# Of places in a file where it is cut, or gets a byte more; no power of two.
STEP = 11
CHANGES = (misspelled, swapped, retyped, opened, emptied, twice, listed)


def mutated():
    """Files with one line changed, by a name."""
    for kind, text in (('small', SMALLEST), ('whole', WHOLE)):
        lines = text.split('\n')
        for number, words in enumerate(lines):
            for change in CHANGES:
                new = change(words)
                if new:
                    yield f'{kind} {number + 1} {change.__name__}', '\n'.join(
                        [*lines[:number], new, *lines[number + 1:]])


def mistakes():
    for name, (old, new, expected) in {**MISTAKES, **DEVICE_MISTAKES}.items():
        text = HOSTS if old in HOSTS else WHOLE
        if expected is not None:
            yield name, text.replace(old, new)
    yield from ((name, text) for name, (text, _) in FILES.items())


@pytest.fixture(scope='module')
def program():
    """The tool, as a module."""
    return script('distkvm')


class Started(Exception):
    """Something was."""


@pytest.fixture
def nothing_starts(monkeypatch):
    """No process starts, and no host's state is looked at."""
    def refuse(*args, **_):
        raise Started(args)

    monkeypatch.setattr(subprocess, 'Popen', refuse)
    monkeypatch.setattr(State, '__init__', refuse)
    monkeypatch.setattr('signal.signal', lambda *_: None)


def check(program, monkeypatch, capsys, path, text, verb, *args):
    """The number of errors; each is a line that names one of the file."""
    path.write_text(text)
    monkeypatch.setattr(sys, 'argv', ['distkvm', verb, *args, str(path)])
    status = program.main()
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert status == (2 if lines else 0), (text, said)
    for line in lines:
        found = re.match(rf'{re.escape(str(path))}:(\d+): \S.*[^,:] \S', line)
        assert found and 1 <= int(found.group(1)) <= text.count('\n') + 1, line
    return len(lines)


@named('static: broken files: each mistake once, by each verb')
def test_mistakes(program, nothing_starts, monkeypatch, capsys, tmp_path):
    path, count = tmp_path / 'c.toml', 0
    for name, text in mistakes():
        assert check(program, monkeypatch, capsys, path, text,
                     VERBS[count % len(VERBS)]) == 1, name
        count += 1
    assert count > 45


@named('static: broken files: hundreds with a line changed')
def test_mutated(program, nothing_starts, monkeypatch, capsys, tmp_path):
    path, broken, harmless = tmp_path / 'c.toml', 0, []
    for name, text in mutated():
        if check(program, monkeypatch, capsys, path, text, 'check',
                 '--offline'):
            broken += 1
            verb = VERBS[broken % len(VERBS)]
            assert check(program, monkeypatch, capsys, path, text, verb), name
        else:
            harmless.append(name)
    assert broken > 150
    # A word of "append" over two lines is as good as another.
    assert all(name.startswith('whole 9 ') for name in harmless), harmless


@named('static: broken files: the mistakes are all that are looked for')
def test_all(monkeypatch, tmp_path):
    """Each call that adds an error is reached by one of them."""
    path, reached = tmp_path / 'c.toml', set()
    real = cluster_file.Reader.error

    def error(*args):
        frame = sys._getframe(1)    # pylint: disable=protected-access
        reached.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        real(*args)

    monkeypatch.setattr(cluster_file.Reader, 'error', error)
    for _, text in mistakes():
        path.write_text(text)
        with pytest.raises(cluster_file.FileErrors):
            cluster_file.load(path)
    calls = {(Path(module.__file__).name, call.lineno)
             for module in (cluster_file, cluster_devices, cluster_shares)
             for call in ast.walk(ast.parse(inspect.getsource(module)))
             if isinstance(call, ast.Call) and
             getattr(call.func, 'attr', None) == 'error' and
             # Not node_error(), which says what others do.
             not isinstance(call.args[1], ast.Name)}
    missing = sorted(calls - reached)
    assert not missing, str(missing)
    assert len(calls) > 30


@cases('byte', {'static: broken files: cut anywhere': None,
                'static: broken files: any byte in it': b'\0"=[]\n#\xff{'})
def test_bytes(program, nothing_starts, monkeypatch, capsys, tmp_path, byte):
    """No traceback, whatever is in the file."""
    path, whole = tmp_path / 'c.toml', WHOLE.encode()
    for at in range(0, len(whole), STEP):
        data = whole[:at]
        if byte:
            number = at // STEP % len(byte)
            data += byte[number:number + 1] + whole[at:]
        path.write_bytes(data)
        monkeypatch.setattr(sys, 'argv',
                            ['distkvm', 'check', '--offline', str(path)])
        status = program.main()
        lines = capsys.readouterr().err.splitlines()
        assert status == (2 if lines else 0), (at, lines)
        assert all(line.startswith(f'{path}:') for line in lines), lines
