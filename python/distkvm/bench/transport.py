# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench transport: streams, with TLS and without, against UCX over TCP.

UCX is what streams have replaced between hosts.  Each round takes all three,
one after the other, and its ratios are of that round: machines are shared and
noisy.  Of the rounds' ratios the one in the middle is shown."""

import os
import statistics

from . import memory
from ..common import say
from ..hosts import Hosts
from ..memory import MIB, PAGE, MemoryCluster

# Network, options of all nodes, environment.
UCX = ('insecure', ('transport=ucx',), {'UCX_TLS': 'tcp,self'})
STREAMS = ('insecure', ('transport=tls',), {})
TLS = ('psk', ('transport=tls',), {})
WAYS = {'streams': STREAMS, 'TLS': TLS}
# At most, for faults against UCX; at least, for reading in order.
FAULT_AIM = {'streams': 0.9, 'TLS': 1.1}
SCAN_AIM = {'streams': 1.0, 'TLS': 0.8}
ROUNDS = 5


def medians(way, server, hosts):
    """Of one cluster: each kind of fault, in us."""
    net, options, env = way
    with MemoryCluster('bench-transport', share=memory.SHARE, env=env, net=net,
                       hosts=hosts,
                       options=('readahead=0', 'hold-us=0', *options),
                       each=(memory.REQUESTER, server)) as cluster:
        memory.pin_apart(cluster)
        memory.pin_server(cluster)
        # The first round moves engines to their places and fills caches.
        memory.fault_latencies(cluster, memory.PAUSE_US, 1)
        probes = memory.fault_latencies(cluster, memory.PAUSE_US, 3)
        return {kind: probes[kind]['median'] / 1e3 for kind in memory.KINDS}


def show(title, values, against, aim, better):
    """The ratios of rounds, and the values of the round in the middle."""
    pairs = sorted(zip(values, against), key=lambda p: p[0] / p[1])
    ratios = [v / a for v, a in pairs]
    value, other = pairs[len(pairs) // 2]
    print(f'{title}: {value:.1f}; UCX {other:.1f}; ratio '
          f'{statistics.median(ratios):.2f} ({ratios[0]:.2f} to '
          f'{ratios[-1]:.2f}); aim {better} {aim}', flush=True)


def faults(place, hosts):
    for state, server in (('server spinning', memory.SPINNING),
                          ('server asleep', memory.ASLEEP)):
        rounds = [{name: medians(way, server, hosts) for name, way in
                   (('UCX', UCX), *WAYS.items())} for _ in range(ROUNDS)]
        for name in WAYS:
            for kind in memory.KINDS:
                show(f'{place}, {name}, {state}, {kind}, us',
                     [r[name][kind] for r in rounds],
                     [r['UCX'][kind] for r in rounds], FAULT_AIM[name],
                     'at most')


def scan(way, ahead=64):
    """MiB a second of node 0, which reads what node 1 has."""
    net, options, env = way
    pages = 32 * MIB // PAGE
    with MemoryCluster('bench-transport', share=memory.SHARE, env=env, net=net,
                       options=(f'readahead={ahead}', *options),
                       each=(memory.REQUESTER, memory.SPINNING)) as cluster:
        memory.pin_apart(cluster)
        memory.pin_server(cluster)
        a, b = cluster.node
        b.ask('noise', cluster.home(1), pages, 1)
        return a.ask('scan', cluster.home(1), pages) / MIB


def sequential():
    rounds = [{'wire': memory.bandwidth(memory.TCP), 'UCX': scan(UCX),
               **{name: scan(way) for name, way in WAYS.items()}}
              for _ in range(ROUNDS)]
    for name in ('UCX', *WAYS):
        show(f'{name}, sequential read against ucx_perftest, MiB/s',
             [r[name] for r in rounds], [r['wire'] for r in rounds],
             SCAN_AIM.get(name, '-'), 'at least')


def main():
    memory.need_perftest()
    say('faults, against UCX over TCP')
    faults('loopback', None)
    if os.geteuid():
        say('two namespaces: left out, they need root')
    else:
        with Hosts() as hosts:
            faults('two namespaces', hosts)
    say('sequential reading, against ucx_perftest over TCP')
    sequential()
    return 0
