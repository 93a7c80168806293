# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench: ratios to plain QEMU of the same build, in the same run."""

from .. import build
from ..bench import boot, idle, kvm, memory, postcopy, transport


def main(args):
    build.ensure()
    others = {'memory': memory.main,
              'transport': transport.main, 'idle': idle.main,
              'kvm': kvm.main,
              'postcopy': postcopy.main, 'treatments': boot.treatments}
    return others[args.what]() if args.what in others else boot.boot(args)


def add_verb(verbs):
    verb = verbs.add_parser('bench', help='compare with plain QEMU')
    verb.add_argument('what', choices=['boot', 'memory', 'transport', 'idle',
                                       'kvm', 'postcopy', 'treatments'])
    verb.add_argument('--nodes', type=int, default=2)
    verb.add_argument('--options', help='options of -accel distkvm')
    verb.set_defaults(function=main)
