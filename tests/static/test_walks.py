# SPDX-License-Identifier: GPL-2.0-or-later
"""The walks of docs/architecture.rst go where the code goes."""

import re

import pytest

from distkvm.common import TOP
from naming import named
from programs import script

pytestmark = pytest.mark.overlaps

ACCEL = TOP / 'accel' / 'distkvm'
# In the words of the walk: the brackets that follow name the files.
STAGES = {'STOP_VCPUS': 'vCPUs leave guest code', 'FENCE': 'The fence goes up',
          'RELEASE': 'Threads are released', 'TELL': 'The main loop is told'}


def paragraphs():
    """{title: text} of the five walks."""
    text = (TOP / 'docs' / 'architecture.rst').read_text()
    text = text.split('Five events, file by file\n')[1].split('Accelerator\n')[0]
    found = re.findall(r'^\*([^*]+)\.\*  (.*?)\n\n', text, re.M | re.S)
    return {title: re.sub(r'\s+', ' ', words) for title, words in found}


def arrows():
    return script('arrows').arrows()


def file_named(name, caller, found):
    """A name without a folder is of the folder of the file before it."""
    name = name.removesuffix('.c')
    if '/' not in name and caller and f'{caller.split("/")[0]}/{name}' in found:
        return f'{caller.split("/")[0]}/{name}'
    assert name in found, f'{name} is no file'
    return name


def steps(words, found):
    """(A, mark, B) of each step; None for a file that is a family."""
    words = re.sub(r'\s*\([^()]*(?:\(\)[^()]*)*\)', '', words)
    caller = last = mark = None
    for sign, name in re.findall(
            r'(?:(?<=``)\s*([>^,])\s*)?``([\w/.*-]+)``', words):
        if sign in ('>', '^'):
            caller, mark = last, sign
        elif not sign:
            caller = mark = None
        last = None if '*' in name else file_named(name, caller or last, found)
        if caller and last and mark:
            yield caller, mark, last


@named('static: the walks of the architecture are arrows of the code')
def test_walks():
    found, count = arrows(), 0
    assert len(paragraphs()) == 5
    for title, words in paragraphs().items():
        for a, mark, b in steps(words, found):
            assert (b in found[a]) == (mark == '>'), f'{title}: {a} {mark} {b}'
            count += 1
    assert count > 80


@named('static: the walk of a death has all that must end')
def test_stages():
    words = paragraphs()["A node's death"]
    for stage, claim in STAGES.items():
        named_files = re.search(rf'{claim} \(([^)]*)\)', words).group(1)
        users = {str(path.relative_to(ACCEL)).removesuffix('.c')
                 for path in ACCEL.rglob('*.c')
                 if f'failure_register(FAILURE_{stage},' in path.read_text()}
        assert {name.removesuffix('.c') for name in re.findall(
            r'``([^`]+)``', named_files)} == users, stage


@named('static: the file that knows all parts is known by none of them')
def test_start():
    """accel.c, which is above it, names the options that it needs."""
    users = {user for user, targets in arrows().items() if 'start' in targets}
    assert users == {'accel'}
