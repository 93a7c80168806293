# SPDX-License-Identifier: GPL-2.0-or-later
"""Pages of the manual, made of what the tool says and of docs."""

import os
import re
import subprocess

from .common import TOP, Problem

HEAD = '''{line}
{name}
{line}

{rule}
{about}
{rule}

:Manual section: {section}
:Manual group: distkvm

'''
SEE_ALSO = '''
SEE ALSO
========

{others}, and the documents in ``/usr/share/doc/distkvm``.
'''


def head(name, section, about):
    return HEAD.format(name=name, line='=' * len(name), rule='-' * len(about),
                       about=about, section=section)


def as_man(text, name):
    """reStructuredText as a page; docutils judges it."""
    done = subprocess.run(
        ['/usr/bin/python3', '-m', 'docutils', '--writer=manpage',
         '--report=2', '--exit-status=2', '--no-datestamp'],
        input=text, capture_output=True, text=True, check=False)
    if 'No module named docutils' in done.stderr:
        raise Problem('manual pages need docutils: apt-get install '
                      'python3-docutils')
    if done.returncode:
        raise Problem(f'{name}: {done.stderr}')
    return done.stdout


def said(tool, *args):
    return subprocess.run([str(tool), *args, '--help'], check=True, text=True,
                          capture_output=True,
                          env={**os.environ, 'COLUMNS': '78',
                               # Of a tree that becomes a package.
                               'PYTHONDONTWRITEBYTECODE': '1'}).stdout


def literal(text):
    return '::\n\n' + ''.join(f'    {line}\n' if line else '\n'
                              for line in text.rstrip().splitlines()) + '\n'


def verbs_of(help_text):
    found = re.search(r'\{([\w,-]+)\}', help_text)
    if not found:
        raise Problem('the tool names no verbs')
    # Tools call this one, and people do not.
    return [v for v in found.group(1).split(',') if v != 'host']


def of_tool(tool):
    """distkvm(1), by the tool's own words."""
    text = said(tool)
    page = head('distkvm', 1, 'start and watch virtual machines over several '
                'hosts')
    page += 'SYNOPSIS\n========\n\n' + literal('distkvm VERB [OPTIONS] FILE')
    page += 'VERBS\n=====\n\n'
    for verb in verbs_of(text):
        page += f'{verb}\n{"-" * len(verb)}\n\n{literal(said(tool, verb))}'
    page += 'CLUSTER FILE\n============\n\n'
    document = (TOP / 'docs' / 'cluster-file.rst').read_text()
    # Without its title: its headings are one level deeper than the page's.
    _, _, document = document.partition('\n\n')
    page += document.replace('scripts/distkvm', 'distkvm')
    page += SEE_ALSO.format(others='**qemu-distkvm**\\(7)')
    return as_man(page, 'distkvm.1')


def options():
    """The README's table of options."""
    text = (TOP / 'README.rst').read_text()
    found = re.search(r'The options of ``-accel distkvm`` are:\n\n'
                      r'(=+  =+\n.*?\n=+  =+\n)', text, re.M | re.S)
    if not found:
        raise Problem('the README has no table of options')
    return found.group(1)


def of_qemu():
    """qemu-distkvm(7): the chapter of QEMU's own manual, and the options."""
    text = (TOP / 'docs' / 'system' / 'distkvm.rst').read_text()
    text = text[text.index('One machine over several hosts'):]
    _, _, text = text.partition('\n\n')
    # Of Sphinx, which docutils does not know.
    text = text.replace('|qemu_system_x86|',
                        '/usr/lib/distkvm/qemu-system-x86_64')
    text = re.sub(r'\.\. parsed-literal::\n', '::\n', text)
    text = re.sub(r'\\\\\n', r'\\\n', text)
    text = re.sub(r' \(see :ref:`[^`]*`\)', '', text)
    page = head('qemu-distkvm', 7, 'one machine over several hosts: -accel '
                'distkvm')
    page += 'DESCRIPTION\n===========\n' + re.sub(
        r'^(\S.*)\n(-{4,})\n',
        lambda m: f'{m.group(1)}\n{"=" * len(m.group(2))}\n', text,
        flags=re.M)
    page += '\nOptions of -accel distkvm\n=========================\n\n'
    page += options()
    page += SEE_ALSO.format(others='**distkvm**\\(1)')
    return as_man(page, 'qemu-distkvm.7')
