# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths, messages and processes that all verbs use."""

import contextlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
# A tree that was installed has this file: the commit that it is of.
COMMIT = TOP / '.installed-commit'
INSTALLED = COMMIT.exists()
BUILD = TOP / 'build'
QEMU_TREE = BUILD / 'qemu'
QEMU_BUILD = BUILD / 'qemu-build'
# From the top of an installation, the parent of bin, on.
PACKAGED = Path('lib', 'distkvm', 'qemu-system-x86_64')
QEMU = TOP.parent.parent / PACKAGED if INSTALLED else \
    QEMU_BUILD / 'qemu-system-x86_64'
# The program that is this tool, here and on a host that has it at this path.
TOOL = TOP.parent.parent / 'bin' / 'distkvm' if INSTALLED else \
    TOP / 'scripts' / 'distkvm'
QEMU_IMG = QEMU_BUILD / 'qemu-img'
# A client of coherent memory that is not QEMU.
EMULATOR = QEMU_BUILD / 'tests' / 'qtest' / 'distkvm' / 'distkvm-emulator'
CORE_BUILD = BUILD / 'core'
GUEST = BUILD / 'guest'
# As a user calls this tool.
CALL = 'distkvm' if INSTALLED else 'scripts/distkvm'
# How a host gets QEMU and this tool.
GET = 'install the package distkvm' if INSTALLED else \
    f'run {CALL} build'


class Problem(Exception):
    """Something the user should read, without a traceback."""


class FileErrors(Problem):
    """All errors of a cluster file, a line each."""

    def __init__(self, errors):
        self.errors = errors
        super().__init__('\n'.join(errors))


def say(text):
    """The tool's own messages go to standard error.

    One that has gone, as a terminal that was closed, changes nothing of the
    work."""
    with contextlib.suppress(OSError):
        print(f'distkvm: {text}', file=sys.stderr, flush=True)


class WholeFile:
    """A file that gets a text whole, or stays as it was.

    Links of one's own, and root's, are followed.  A pipe or a device is written
    to.  A new file has this mode, or that of the umask."""

    def __init__(self, path, mode=None):
        self.path, self.mode, self.partial = path, mode, None
        with self.problems():
            # One in a directory of another user could name any file.
            if path.is_symlink() and \
                    path.lstat().st_uid not in (0, os.geteuid()):
                raise Problem(f"{path} is another user's link: write the path "
                              'of the file')
            target = path
            if path.is_file() or not path.exists():
                self.target = Path(os.path.realpath(path))
                # Nobody foresees this name, and "x" follows no link.
                target = self.partial = self.target.with_name(
                    f'.{secrets.token_hex(8)}.partial')
            # pylint: disable-next=consider-using-with
            self.file = open(target, 'x' if self.partial else 'w',
                             encoding='utf-8')

    @contextlib.contextmanager
    def problems(self):
        try:
            yield
        except OSError as error:
            raise Problem(f'{self.path}: {error.strerror}') from None

    def write(self, text):
        """The whole text."""
        with self.problems():
            self.file.write(text)
            self.file.flush()
            if self.partial:
                if self.mode is not None:
                    os.fchmod(self.file.fileno(), self.mode)
                self.partial.replace(self.target)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # write() has said it of a disk that is full.
        with contextlib.suppress(OSError):
            self.file.close()
        if self.partial:
            self.partial.unlink(missing_ok=True)


def call(args, **kwargs):
    """Run a command; a failure becomes a Problem that shows its output."""
    args = [str(a) for a in args]
    result = subprocess.run(args, check=False, **kwargs)
    if result.returncode:
        shown = ''
        for stream in (result.stdout, result.stderr):
            if stream:
                text = stream if isinstance(stream, str) else stream.decode()
                shown += '\n' + text[-4000:]
        raise Problem(f"'{' '.join(args)}' failed with exit status "
                      f'{result.returncode}{shown}')
    return result


def quiet(args, **kwargs):
    return call(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, **kwargs).stdout


def parse_size(text):
    """Bytes of a size as QEMU writes it; a bare number is MiB."""
    units = {'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}
    text = text.strip().upper()
    try:
        if text and text[-1] in units:
            return int(float(text[:-1]) * units[text[-1]])
        return int(text) << 20
    except ValueError:
        raise Problem(f"'{text}' is not a size; write 512M or 2G") from None


def keep_to(pid, cpu):
    """All threads of a process on one CPU, as far as there are so many."""
    cpus = sorted(os.sched_getaffinity(0))
    for thread in os.listdir(f'/proc/{pid}/task'):
        os.sched_setaffinity(int(thread), [cpus[cpu % len(cpus)]])
