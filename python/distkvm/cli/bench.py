# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench: ratios to plain QEMU of the same build, in the same run."""

from .. import build
from ..bench import (boot, dma, idle, io, kvm, memory, postcopy, raid,
                     transport, wake)
from ..common import Problem
from ..work import bench as work


# Of each bench that takes them, unless they are given.
ROUNDS = {'io': io.ROUNDS}
BY_ROUNDS = {'dma': dma, 'io': io, 'raid': raid, 'wake': wake}


def main(args):
    if args.rounds is None:
        args.rounds = ROUNDS.get(args.what, 1)
    if args.rounds < 1:
        raise Problem('--rounds: at least 1')
    build.ensure()
    others = {'memory': memory.main,
              'transport': transport.main, 'idle': idle.main,
              'kvm': kvm.main,
              'postcopy': postcopy.main, 'treatments': boot.treatments}
    if args.what == 'work':
        return work.main(args)
    if args.what in BY_ROUNDS:
        return BY_ROUNDS[args.what].main(args.rounds)
    return others[args.what]() if args.what in others else boot.boot(args)


def add_verb(verbs):
    verb = verbs.add_parser('bench', help='compare with plain QEMU')
    verb.add_argument('what', choices=['boot', 'dma', 'memory', 'transport',
                                       'idle', 'io', 'kvm', 'postcopy',
                                       'raid', 'treatments', 'wake', 'work'],
                      help='what is compared; work: programs of a server in a '
                           'Debian guest, with the time they wait for pages')
    verb.add_argument('--nodes', type=int, default=2)
    verb.add_argument('--options', help='options of -accel distkvm')
    verb.add_argument('--only', metavar='WORKLOAD,...',
                      help='of work: these workloads; boot: none but the boot')
    verb.add_argument('--rounds', type=int, metavar='N',
                      help='of work, wake and io: boots of each side, '
                           'alternating; of dma and raid: rounds of each boot '
                           f'(default: 1; io: {io.ROUNDS})')
    verb.add_argument('--untraced', action='store_true',
                      help='of work: without the last boot, which is traced and '
                           'names the pages that moved')
    verb.add_argument('--vcpu-percent', type=int, metavar='P',
                      help='of work: each vCPU, of both sides, runs for so much '
                           'of each 2 ms, so that engines find CPUs free; the '
                           'traced boot is not limited (needs root)')
    verb.add_argument('--append', default='', metavar='WORDS',
                      help="of work: parameters of the guest's kernel, on both "
                           'sides')
    verb.add_argument('--json', metavar='FILE',
                      help='of work: where all figures go (default: '
                           'build/bench-work.json)')
    verb.add_argument('--html', metavar='FILE',
                      help='of work: a page with figures and timelines')
    verb.set_defaults(function=main)
