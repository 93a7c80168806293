# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm resize: how much of the guest's RAM a node holds at most."""

import time

from .. import cluster_file
from ..common import Problem, parse_size, say
from ..operate import lifecycle
from ..operate.remote import Hosts
from ..operate.view import PAGE, observe, size, state_of

LOOK_SECONDS = 1
ANY = 'any'


def chosen(file, number):
    """A node of a file, by the number that a user has written."""
    if not 0 <= number < len(file.nodes):
        raise Problem(f'there is no node {number}: write 0 to '
                      f'{len(file.nodes) - 1}')
    return file.nodes[number]


def excess(hosts, node):
    """Bytes that a node holds beyond its cap, and those that it holds."""
    found = observe(hosts)[node.id]
    if 'info' not in found or found['info']['failed']:
        state, reason = state_of(found)
        raise Problem(f'node {node.id} is {state}: {reason}')
    memory = found['info']['memory']
    return memory['cap-excess-pages'] * PAGE, memory['resident-pages'] * PAGE


def wait(hosts, node):
    """Until the node keeps to its cap, with a line for each look."""
    while True:
        more, held = excess(hosts, node)
        if not more:
            say(f'node {node.id} holds {size(held)} of the guest\'s RAM')
            return
        say(f'node {node.id} holds {size(held)}, of which {size(more)} are '
            'to go')
        time.sleep(LOOK_SECONDS)


def main(args):
    file = cluster_file.load(args.file)
    node = chosen(file, args.node)
    cap = 0 if args.size == ANY else parse_size(args.size)
    if args.size != ANY and cap <= 0:
        raise Problem(f'{args.size} is no size: write 512M, or "{ANY}" for '
                      'any amount')
    hosts = Hosts(file)
    why = lifecycle.command(file, hosts, node.id, 'distkvm-set-cap',
                            {'cap': cap})
    if why:
        raise Problem(f'node {node.id}: {why}')
    if not args.no_wait:
        wait(hosts, node)
    if args.size != (node.cap or ANY):
        say(f'{file.path} says cap = "{node.cap}" still, for the next start'
            if node.cap else
            f'{file.path} has no cap for node {node.id}, for the next start')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'resize', help="change how much of the guest's RAM a node holds at "
        'most, while it runs',
        epilog='The least is the RAM that the node is home of, and 8 MiB.  '
               'Ctrl-C ends the waiting, and not the change.')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('node', metavar='NODE', type=int,
                      help='number of the node')
    verb.add_argument('size', metavar='SIZE',
                      help=f'a size as 512M or 2G, or "{ANY}"')
    verb.add_argument('--no-wait', action='store_true',
                      help='do not wait until the node holds no more')
    verb.set_defaults(function=main)
