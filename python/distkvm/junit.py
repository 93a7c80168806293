# SPDX-License-Identifier: GPL-2.0-or-later
"""Results of meson and pytest, read back from JUnit's XML."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

# The target, which qtests have in front of a path.
TARGET = re.compile(r'^/x86_64/', re.M)
# Why a test of a run with a limit was skipped.
NO_TIME = 'needs more time than --minutes gives'


@dataclass
class Case:
    """One test that has run."""
    name: str
    outcome: str
    detail: str = ''


def outcome(element):
    """'passed', 'failed' or 'skipped'; and the reason, or the last line that a
    program has printed."""
    for child in element:
        if child.tag in ('failure', 'error'):
            return 'failed', child.get('message') or child.text or ''
        if child.tag == 'skipped':
            return 'skipped', child.get('message') or child.text or ''
    said = (element.findtext('system-out') or '').split('\n')
    return 'passed', said[-1].strip()


def cases(path):
    """The tests of a file, none if there is no file."""
    if not path.exists():
        return []
    return [Case(element.get('name'), *outcome(element))
            for element in ElementTree.parse(path).iter('testcase')]


def meson_cases(path):
    """The same with the names that the tests were given: meson puts a number
    before those of TAP, and the project and suite before those of programs."""
    found = cases(path)
    for case in found:
        name = re.sub(r'^(\d+ |.* / )', '', case.name).strip()
        case.name = TARGET.sub('', name)
    return found
