# SPDX-License-Identifier: GPL-2.0-or-later
"""RAM of a cluster file's guest, and of its nodes: shares and caps."""

from .common import parse_size

# Of nodes' shares; of the RAM, which QEMU would round up.
PAGE, RAM_UNIT = 4 << 10, 8 << 10
# As accel/distkvm/config.c has them: shares are rounded, and a cap has room
# for more.
SHARE_UNIT, CAP_RESERVE = 2 << 20, 8 << 20


def check(reader, guest, nodes):
    """Errors of sizes, each of which is right by itself."""
    named = [n for n in nodes if 'memory' in n]
    if named and len(named) < len(nodes):
        for number, node in enumerate(nodes):
            if 'memory' not in node:
                reader.error(('node', number, 'memory'), 'is missing, as '
                             'others have it', 'give it to all or none')
        return
    if named and sum(parse_size(n['memory']) for n in nodes) != \
            parse_size(guest['memory']):
        reader.error(('guest', 0, 'memory'), f'{guest["memory"]} is not the '
                     "sum of the nodes' memory", 'change one of them')
    if parse_size(guest['memory']) % RAM_UNIT:
        reader.error(('guest', 0, 'memory'), 'is not a multiple of 8K',
                     'write whole megabytes')
    odd = [n for n, node in enumerate(nodes)
           if parse_size(node.get('memory', '0M')) % PAGE]
    if odd:
        # Of those that make a whole number together, one is enough.
        reader.error(('node', odd[0], 'memory'), 'is not a multiple of 4K',
                     'write whole megabytes')
    for number, node in enumerate(nodes):
        check_cap(reader, number, node,
                  parse_size(node['memory']) if named else
                  parse_size(guest['memory']) // len(nodes))


def check_cap(reader, number, node, share):
    """Of a node that is home of so much RAM, or somewhat less."""
    share -= share % SHARE_UNIT
    if 'cap' in node and parse_size(node['cap']) < share + CAP_RESERVE:
        reader.error(('node', number, 'cap'), f'{node["cap"]} is less than '
                     f"the node's share of the RAM, {share >> 20}M, and "
                     f'{CAP_RESERVE >> 20}M', 'write more, or give the node '
                     'less memory')
