# SPDX-License-Identifier: GPL-2.0-or-later
"""The workloads of bench work, and where each runs.

A place is a pair of CPUs: that of the server, or of the only program, and that of
its client; '-' is any CPU.  CPU 0 is on node 0 and CPU 1 on node 1, since each
node has one."""

from dataclasses import dataclass

from ..common import Problem

ANY = ('-', '-')
ON_0, ON_1 = ('0', '0'), ('1', '1')
ACROSS = ('1', '0')
# Values that the guest prints, with their units, and whether less is better.
UNITS = {'seconds': ('s', True), 'rate': ('/s', False),
         'to_init': ('s', True), 'mean_ms': ('ms', True), 'max_ms': ('ms', True)}


@dataclass(frozen=True)
class Workload:
    """A script in guest/, and a place."""
    name: str
    script: str
    place: tuple
    about: str
    # The values that count; "seconds" is the guest's time for all of it,
    # unless the script prints one itself.
    values: tuple = ('seconds',)
    # For how long it goes on, of those that are told (verify.py), and a mistake
    # that the guest makes on purpose.
    seconds: int = 0
    mistake: str = ''

    @property
    def request(self):
        told = (str(self.seconds), self.mistake) if self.seconds else ()
        return ' '.join((self.script, *self.place, *told)).rstrip()


def of(script, about, values, **places):
    return [Workload(f'{script}-{where}' if where != 'all' else script, script,
                     place, about, values) for where, place in places.items()]


RATE = ('rate',)
ALL = [
    *of('pginit', 'createdb, pgbench -i -s 1', ('seconds',), all=ANY),
    *of('pgbench', 'pgbench -c 4 -j 2, tps', RATE, all=ANY, node1=ON_1,
        across=ACROSS),
    *of('hackbench', 'hackbench -g 2 -l 100', ('seconds',), all=ANY,
        node1=ON_1),
    *of('iperf', 'iperf3 over loopback, Mbit/s', RATE, all=ANY, node1=ON_1,
        across=ACROSS),
    *of('fio', 'fio 4 KiB random writes and verify, 32 MiB', ('seconds',),
        all=ANY, node0=ON_0, node1=ON_1),
    *of('reads1m', '1 MiB O_DIRECT reads, MiB/s', RATE, node0=ON_0,
        node1=ON_1),
    *of('reads4k', '4 KiB O_DIRECT random reads, MiB/s', RATE, node0=ON_0,
        node1=ON_1),
    *of('compile', 'parallel make of small C files', ('seconds',), all=ANY,
        node1=ON_1),
    *of('latency', 'cyclictest on each CPU, idle guest', ('mean_ms', 'max_ms'),
        all=ANY),
    *of('threads', 'sysbench cpu, a thread for each CPU', RATE, all=ANY),
    *of('pinned', 'sysbench cpu, a pinned process for each CPU', RATE,
        all=ANY),
    *of('alone', 'sysbench cpu, one thread', RATE, node0=ON_0, node1=ON_1),
    *of('clone', 'git clone of 600 small files', ('seconds',), all=ANY,
        node1=ON_1),
    *of('web', 'nginx and ab, requests/s', RATE, all=ANY, node1=ON_1,
        across=ACROSS),
    *of('redis', 'redis-benchmark, GET/s', RATE, all=ANY, node1=ON_1,
        across=ACROSS),
    *of('python', 'python multiprocessing', ('seconds',), all=ANY,
        node1=ON_1),
    *of('stress', 'stress-ng --verify, operations/s', RATE, all=ANY),
]


def chosen(only):
    """Those whose names or scripts are in a list with commas; all without."""
    if not only:
        return ALL
    wanted = only.split(',')
    known = {w.name for w in ALL} | {w.script for w in ALL} | {'boot'}
    for name in wanted:
        if name not in known:
            raise Problem(f"no workload '{name}'; there are boot, "
                          f"{', '.join(w.name for w in ALL)}")
    return [w for w in ALL if w.name in wanted or w.script in wanted]
