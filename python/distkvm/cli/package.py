# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm package: a Debian package of a tree that is built."""

from .. import build, package
from ..common import BUILD


def main(args):
    build.ensure()
    print(package.make(args.dir))
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'package', help='make a Debian package',
        epilog='It is for the release of Debian that this host runs.')
    verb.add_argument('--dir', metavar='D', default=BUILD / 'package',
                      help='directory for it (default: build/package)')
    verb.set_defaults(function=main)
