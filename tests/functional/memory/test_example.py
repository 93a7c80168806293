# SPDX-License-Identifier: GPL-2.0-or-later
"""The worked example of docs/extending.rst: it is put into a copy of the
sources, built as a test of its own, and run."""

import json
import re
import shlex
import shutil
import subprocess
import tempfile
import textwrap
from pathlib import Path

from distkvm.common import QEMU_BUILD, TOP, Problem
from naming import named

TEXT = TOP / 'docs' / 'extending.rst'
LINES_MAX = 60
# A test program whose flags and libraries are the example's, too.
LIKE = 'tests/qtest/distkvm/test-rpc'
# "in FILE before TEXT", or "file NAME", and the code.
BLOCK = re.compile(r'^\.\. (?:in (\S+) before "(.*)"|file (\S+))\n'
                   r'\.\. code-block:: c\n\n((?:    .*\n|\n)+)', re.M)


def blocks(text):
    """Each piece of code: the file, before what it goes (None: it is the
    file), and its lines."""
    found = BLOCK.findall(text)
    if len(found) != text.count('.. code-block::'):
        raise Problem('a piece of code does not say where it goes')
    for changed, anchor, new, code in found:
        yield (changed or new, anchor.replace('\\n', '\n') or None,
               textwrap.dedent(code).strip('\n') + '\n')


def insert(path, anchor, code):
    text = path.read_text()
    if text.count(anchor) != 1:
        raise Problem(f'{path.name} has {text.count(anchor)} places {anchor!r}')
    # Members of lists stand where their neighbours do.
    margin = anchor[:len(anchor) - len(anchor.lstrip())]
    code = textwrap.indent(code, margin) + ('' if margin else '\n')
    path.write_text(text.replace(anchor, code + anchor))


def write_example(directory):
    """A copy of the sources with the example in it."""
    for folder in ('accel', 'tests/qtest'):
        shutil.copytree(TOP / folder, directory / folder)
    for name, anchor, code in blocks(TEXT.read_text()):
        if anchor:
            insert(directory / name, anchor, code)
        else:
            (directory / name).write_text(code)


def flags():
    """How LIKE is compiled, and what it is linked with."""
    commands = json.loads((QEMU_BUILD / 'compile_commands.json').read_text())
    own, = (c for c in commands if c['file'].endswith(LIKE + '.c'))
    words = shlex.split(own['command'])
    compiler = [w for w in words[:words.index('-MD')] if w != 'ccache']
    last = subprocess.run(['ninja', '-t', 'commands', LIKE], cwd=QEMU_BUILD,
                          capture_output=True, text=True,
                          check=True).stdout.splitlines()[-1]
    words = shlex.split(last)
    return compiler, [w for w in words[words.index('-o') + 2:]
                      if not (w.endswith('.o') and f'{LIKE}.p/' in w)]


def build_example(directory):
    compiler, libraries = flags()
    house = directory / 'accel' / 'distkvm'
    pure = re.findall(r"'([\w-]+\.c)'", re.search(
        r'pure_srcs = files\((.*?)\)',
        (house / 'wire' / 'meson.build').read_text(), re.S).group(1))
    sources = [house / 'failure.c', house / 'node.c', house / 'say.c',
               *(house / 'wire' / name for name in pure),
               *(house / 'core').glob('*.c'), house / 'machine' / 'rpc.c',
               house / 'machine' / 'next.c',
               directory / 'tests/qtest/distkvm/loopback.c',
               directory / 'tests/qtest/distkvm/test-next.c']
    program = directory / 'test-next'
    # The copy goes before the tree; the test needs no prototype of its own.
    result = subprocess.run(
        [compiler[0], '-iquote', str(directory), *compiler[1:],
         '-Wno-missing-prototypes', *map(str, sources), '-o', str(program),
         *libraries],
        cwd=QEMU_BUILD, capture_output=True, text=True, check=False)
    if result.returncode:
        raise Problem(result.stderr[-2000:])
    return program


@named('memory: the worked example of a service')
def test_worked_example(note):
    lines = sum(bool(line.strip()) for _, _, code in blocks(TEXT.read_text())
                for line in code.splitlines())
    if lines > LINES_MAX:
        raise Problem(f'it has {lines} lines, at most {LINES_MAX}')
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        write_example(directory)
        result = subprocess.run([str(build_example(directory)), '--tap'],
                                capture_output=True, text=True, check=False,
                                timeout=60)
    if result.returncode or 'an odd number' not in result.stdout:
        raise Problem(result.stdout + result.stderr)
    note(f'{lines} lines')
