# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm up and distkvm down: start and end the nodes of a cluster file."""

from .. import cluster_file
from ..operate import lifecycle
from ..operate.facts import asking
from ..operate.remote import Hosts
from .check import checked

POWER_OFF_SECONDS = 60


def main(args):
    file = cluster_file.load(args.file)
    if args.no_check:
        hosts = Hosts(file)
        facts = hosts.all(lambda nodes: asking())
    else:
        hosts, facts = checked(file)
    lifecycle.up(file, hosts, facts)
    return 0


def down(args):
    file = cluster_file.load(args.file)
    lifecycle.down(file, Hosts(file), 0 if args.now else args.timeout)
    return 0


def add_verb(verbs):
    verb = verbs.add_parser('up', help='start the nodes of a cluster file')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--no-check', action='store_true',
                      help='start without the checks of "distkvm check"')
    verb.set_defaults(function=main)
    verb = verbs.add_parser('down', help='end the nodes of a cluster file')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--now', action='store_true',
                      help='do not ask the guest to power off')
    verb.add_argument('--timeout', type=int, default=POWER_OFF_SECONDS,
                      metavar='S', help='seconds for the guest to power off '
                      f'(default: {POWER_OFF_SECONDS})')
    verb.set_defaults(function=down)
