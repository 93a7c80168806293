# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm build: from a fresh Debian to a QEMU with distkvm."""

from .. import build


def main(args):
    del args
    build.ensure()
    build.build_core()
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'build', help='install what is missing and build',
        epilog='DISTKVM_QEMU_SOURCE=PATH takes QEMU from a source tree or '
               'tarball instead of Debian.')
    verb.set_defaults(function=main)
