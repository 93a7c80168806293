# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that watches its memory watches each source that is named for it: one
that QEMU has renamed is missed."""

import pytest

from distkvm import sanitized
from distkvm.common import Problem
from naming import named


def objects_of(names):
    """Commands of a build that has a source of each name."""
    return {f'{n}.o': {'file': f'../qemu/{name}'}
            for n, name in enumerate(names)}


@named('static: sources that are watched under ASan are there')
def test_watched():
    commands = objects_of([*sanitized.WATCHED, 'ui/vnc.c'])
    found = sanitized.watched_objects(list(commands), commands)
    assert len(found) == len(sanitized.WATCHED)
    for at, name in enumerate(sanitized.WATCHED):
        linked = [each for each in commands if each != f'{at}.o']
        with pytest.raises(Problem, match=name):
            sanitized.watched_objects(linked, commands)


@named('static: a QEMU under ASan is linked as the ordinary one')
def test_link():
    objects, options = sanitized.link_statement(
        'build qemu-system-x86_64: c_LINKER a.o b.o | lib\n'
        ' ARGS = -la$ b\n LINK_ARGS = -lc\nbuild other: phony\n')
    assert (objects, options) == (['a.o', 'b.o'], ['-la b', '-lc'])
    with pytest.raises(Problem, match='build.ninja'):
        sanitized.link_statement('build qemu-system-x86: c_LINKER a.o\n')
