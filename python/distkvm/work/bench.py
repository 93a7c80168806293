# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench work: programs of a server in a Debian guest, over several nodes
and with plain QEMU of the same build, alternating in one run."""

import json
import time
from pathlib import Path

from ..cluster import check_nodes
from ..common import BUILD, Problem, say
from . import counters, html, image, results, text, throttle, where, workloads
from .machine import ClusterMachine, PlainMachine

LOGS = BUILD / 'log' / 'bench-work'
BOOT = workloads.Workload('boot', '', workloads.ANY,
                          'firmware to systemd, all units started',
                          ('seconds', 'to_init'))


class Run:
    """Samples of all rounds, and what went wrong."""

    def __init__(self, args):
        self.nodes = args.nodes
        self.options = args.options or ''
        self.rounds = args.rounds
        self.vcpu_percent = args.vcpu_percent
        self.append = args.append
        self.workloads = workloads.chosen(args.only)
        self.samples, self.problems = [], []
        self.traced = where.Traced(self.nodes, self.options, LOGS / 'traced',
                                   self.append)
        self.transport = self.numa = None

    def machine(self, kind):
        log_dir = LOGS / kind
        machine = PlainMachine(log_dir, self.nodes) if kind == 'plain' \
            else ClusterMachine(log_dir, self.nodes, self.options)
        machine.vcpu_percent = self.vcpu_percent
        machine.parameters(self.append)
        return machine

    def sample(self, kind, number, workload, outcome, nodes=None):
        """Keep what a workload has shown; its values only if it ended well."""
        values = dict(outcome.values)
        values.setdefault('seconds', outcome.guest_seconds)
        good = not outcome.status and all(v in values for v in workload.values)
        if not good:
            self.problem(
                f'{workload.name} failed on {kind} in round {number} with '
                f'status {outcome.status}: ' + ' / '.join(outcome.log[-5:]))
        if not outcome.clocks_agree:
            self.problem(
                f'{workload.name} on {kind}, round {number}: the guest says '
                f'{outcome.guest_seconds:.1f} s, the host '
                f'{outcome.host_seconds:.1f} s')
        self.samples.append({
            'kind': kind, 'round': number, 'workload': workload.name,
            'values': values if good else {},
            'guest-seconds': outcome.guest_seconds,
            'host-seconds': outcome.host_seconds, 'nodes': nodes})
        shown = ', '.join(f'{k} {values[k]:g}' for k in workload.values
                          if k in values)
        say(f'round {number}, {kind}: {workload.name}: '
            f'{shown if good else "FAILED"}')

    def work(self, kind, number, machine, workload):
        infos = []

        def look():
            infos.append(machine.infos() if kind == 'cluster' else None)

        outcome = machine.work(workload, look, look)
        # A workload that could not be prepared has not begun.
        nodes = counters.changes(*infos) if len(infos) == 2 and infos[0] \
            else None
        self.sample(kind, number, workload, outcome, nodes)

    def one(self, kind, number):
        say(f'round {number} of {self.rounds}: booting '
            f"{'plain QEMU' if kind == 'plain' else f'{self.nodes} nodes'}")
        with self.machine(kind) as machine:
            say(f'round {number}, {kind}: up after '
                f'{machine.boot_seconds:.1f} s')
            self.booted(kind, number, machine)
            for workload in self.workloads:
                self.work(kind, number, machine, workload)

    def booted(self, kind, number, machine):
        nodes = None
        if kind == 'cluster':
            infos = machine.infos()
            self.transport = infos[0]['nodes'][1].get('transport')
            self.numa = machine.numa
            nodes = counters.since_start(infos)
        self.samples.append({
            'kind': kind, 'round': number, 'workload': BOOT.name,
            'values': {'seconds': machine.boot_seconds,
                       'to_init': machine.init_seconds},
            'guest-seconds': machine.guest_uptime,
            'host-seconds': machine.boot_seconds, 'nodes': nodes})

    def all(self):
        for number in range(1, self.rounds + 1):
            for kind in ('plain', 'cluster'):
                try:
                    self.one(kind, number)
                except (Problem, OSError) as problem:
                    # Of QMP, too, which ends with its node.  The other samples
                    # stay; the run has failed.
                    self.problem(f'{kind}, round {number}: {problem}')

    def trace(self):
        """Where the cluster waits, in a boot of its own."""
        expected = {s['workload']: s['host-seconds'] for s in self.samples
                    if s['kind'] == 'cluster'}
        try:
            self.traced.run(self.workloads, expected)
        except (Problem, OSError) as problem:
            self.problem(f'traced boot: {problem}')
        for entry in self.traced.workloads:
            if entry['status']:
                self.problem(f"{entry['workload']} failed in the traced boot")
        for name in {w.name for w in self.workloads} - {
                entry['workload'] for entry in self.traced.workloads}:
            self.problem(f'{name} has no trace')

    def problem(self, words):
        """Kept, so that the run fails, and said at once."""
        self.problems.append(words)
        say(words)

    def report(self):
        chosen = [BOOT, *self.workloads]
        return {'nodes': self.nodes, 'options': self.options,
                'rounds': self.rounds, 'vcpu-percent': self.vcpu_percent,
                'append': self.append, 'transport': self.transport,
                'guest-numa-nodes': self.numa, 'when': time.time(),
                'rows': results.rows(self.samples, chosen),
                'distances': results.distances(self.samples, chosen),
                'samples': self.samples, 'traced': self.traced.workloads,
                'boot-pages': self.traced.boot_pages,
                'problems': self.problems}


def main(args):
    check_nodes(args.nodes)
    throttle.check(args.vcpu_percent, args.nodes)
    run = Run(args)
    image.disk()
    interrupted = False
    try:
        run.all()
        if not args.untraced:
            run.trace()
    except KeyboardInterrupt:
        # Half an hour of figures is worth a report.
        interrupted = True
        run.problem('the run was interrupted')
    publish(run.report(), args)
    return 130 if interrupted else int(bool(run.problems))


def publish(report, args):
    path = Path(args.json or BUILD / 'bench-work.json')
    path.write_text(json.dumps(report, indent=1), encoding='utf-8')
    if args.html:
        Path(args.html).write_text(html.page(report), encoding='utf-8')
    print(text.show(report), end='')
    say(f'all figures are in {path}')
