# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that are written whole: their places, modes, and what is no file."""

import os
import secrets
import threading

import pytest

from distkvm.common import Problem, WholeFile
from naming import named

TEXT = 'a text\n'


def write(path, mode=None):
    with WholeFile(path, mode) as file:
        file.write(TEXT)


@named('static: whole file: one that fails leaves the one of before')
def test_failure(tmp_path):
    path = tmp_path / 'x'
    path.write_text('before')
    with pytest.raises(ZeroDivisionError):
        with WholeFile(path):
            raise ZeroDivisionError
    assert path.read_text() == 'before' and os.listdir(tmp_path) == ['x']
    write(path, 0o640)
    assert path.read_text() == TEXT and os.listdir(tmp_path) == ['x']
    assert path.stat().st_mode & 0o777 == 0o640


@named('static: whole file: a pipe stays one')
def test_pipe(tmp_path):
    path, got = tmp_path / 'pipe', []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: got.append(path.read_text()),
                              daemon=True)
    reader.start()
    write(path)
    assert path.is_fifo()
    reader.join()
    assert got == [TEXT]


@named('static: whole file: a link is followed')
def test_link(tmp_path):
    target, link = tmp_path / 'target', tmp_path / 'link'
    link.symlink_to('target')
    for _ in range(2):
        write(link)
        assert link.is_symlink() and target.read_text() == TEXT


@named('static: whole file: no link waits under a name that was foreseen')
def test_foreseen(monkeypatch, tmp_path):
    victim = tmp_path / 'victim'
    victim.write_text('mine')
    for name in (f'.x.{os.getpid()}.partial', '.aa.partial'):
        (tmp_path / name).symlink_to('victim')
    # Even the name that is chosen.
    monkeypatch.setattr(secrets, 'token_hex', lambda _: 'aa')
    with pytest.raises(Problem):
        write(tmp_path / 'x')
    monkeypatch.undo()
    write(tmp_path / 'x')
    assert victim.read_text() == 'mine'


@named('static: whole file: a directory is none')
def test_directory(tmp_path):
    for path in (tmp_path, tmp_path / '.', tmp_path / 'none' / 'x'):
        with pytest.raises(Problem):
            write(path)
