# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster that runs, looked at again and again: all facts of the page.

Nodes count since they started; the page shows changes between two looks.  The
sample is a dictionary as JSON has it, so that a page can be made of it without
a cluster."""

import time

from ..common import Problem, say
from ..operate.view import observe, per_second, row, state_of

KINDS = ('read', 'write', 'upgrade')
# Of the bytes that a node sends, as query-distkvm has them.
BYTES = ('pages', 'blocks', 'operations', 'protocol', 'services')
FAULTS_END = 65535
HOT_PAGES = 20
QUERIES = ('query-distkvm-pages', 'query-distkvm-pci')


def counters(found):
    """Counters of a node that the page has rates of."""
    info = found['info']
    memory = info['memory']
    # A build of before, on its host or as its process still.
    if 'sent-by-kind' not in memory:
        raise Problem(f"node {info['node']} runs a QEMU that is older than "
                      'this tool: build there, and start the nodes again')
    return {
        'executed-ms': sum(c['executed-ms'] for c in info['cpus']
                           if c['node'] == info['node']),
        'bytes-received': memory['bytes-received'],
        **{f'wait-{kind}-ns': memory[f'wait-{kind}-ns'] for kind in KINDS},
        **{f'faults-{kind}': memory[f'faults-{kind}'] for kind in KINDS},
        **{f'sent-{kind}': memory['sent-by-kind'][kind] for kind in BYTES}}


def rates(node, before, after):
    """By the names of the page; None where a node gives none."""
    each = per_second(counters, before, after)
    if each is None:
        return None
    vcpus = max(1, node.vcpus)
    # Per cent of the time of the node's vCPUs: 1 s is 1000 ms, and 1e9 ns.
    return {'executing': each.pop('executed-ms') / 10 / vcpus,
            **{f'wait-{kind}': each.pop(f'wait-{kind}-ns') / 1e7 / vcpus
               for kind in KINDS}, **each}


def hot_pages(first, last):
    """Faults of each node about its hottest pages, while they were sampled.

    A node names twenty pages.  One that was not among them before had at most
    as many faults as the least of these, and a count that has come to its end
    stays there: then there were at least so many."""
    found = {}
    for number in last:
        old = {h['page']: h['faults'] for h in
               first.get(number, {}).get('memory', {}).get('hot-pages', ())}
        least = min(old.values()) if len(old) >= HOT_PAGES else 0
        for hot in last[number]['memory'].get('hot-pages', ()):
            entry = found.setdefault(hot['page'], {
                'page': hot['page'], 'faults': {}, 'since-start': 0,
                'at-least': False})
            entry['faults'][number] = \
                max(0, hot['faults'] - old.get(hot['page'], least))
            entry['since-start'] += hot['faults']
            entry['at-least'] |= hot['faults'] >= FAULTS_END or \
                least > 0 and hot['page'] not in old
    return sorted(found.values(), reverse=True, key=lambda h: (
        sum(h['faults'].values()), h['since-start']))[:HOT_PAGES]


def waits(first, last):
    """Histograms of the waits of each node, while they were sampled."""
    def of(info, kind):
        return info.get('memory', {}).get('waits', {}).get(kind, [])

    return {number: {kind: [max(0, new - old) for new, old in zip(
        of(last[number], kind),
        of(first.get(number, {}), kind) or [0] * len(of(last[number], kind)))]
        for kind in KINDS} for number in last}


class Sampler:
    """Looks at a cluster until the page has enough."""

    def __init__(self, file, hosts):
        self.file, self.hosts = file, hosts
        self.began, self.time = None, None
        self.at, self.samples, self.events = [], [], []
        # Of each node: the first answer, the last one, and the last look.
        self.first, self.last, self.before = {}, {}, {}

    def look(self):
        """One look; the first one gives no rates."""
        now = time.monotonic()
        if self.began is None:
            self.began, self.time = now, time.time()
        seen = observe(self.hosts)
        if all(f['state'] in ('absent', 'ended') for f in seen.values()) \
                and not self.before:
            raise Problem('no node runs')
        for node in self.file.nodes:
            self.note(node.id, seen[node.id], now - self.began)
        if self.before:
            self.samples.append([rates(n, self.before[n.id], seen[n.id])
                                 for n in self.file.nodes])
        self.at.append(now - self.began)
        self.before = seen
        return all(f['state'] in ('absent', 'ended') for f in seen.values())

    def note(self, number, found, at):
        """The state of a node if it has changed, and its counters."""
        state, reason = state_of(found)
        old = self.before.get(number)
        if old is None or state_of(old) != (state, reason):
            self.events.append({'at': at, 'node': number, 'state': state,
                                'reason': reason})
        if 'info' in found:
            info = found['info']
            # Another process has begun to count anew.
            if number not in self.first or old is None or \
                    old.get('pid') != found.get('pid'):
                self.first[number] = info
            self.last[number] = info

    def run(self, seconds, interval):
        """Look for so long, or until all nodes have ended, or until Ctrl-C if
        there are two looks."""
        try:
            over = self.look()
            while not over and self.at[-1] < seconds:
                due = self.began + min(self.at[-1] + interval, seconds)
                time.sleep(max(0, due - time.monotonic()))
                over = self.look()
        except KeyboardInterrupt:
            if len(self.at) < 2:
                raise
            # Of a look that was not whole.
            del self.samples[len(self.at) - 1:]
            say('the page is of the time until now')

    def asked(self):
        """Answers of each node to the queries that are asked once."""
        answers, _ = self.hosts.each(lambda nodes: {
            'verb': 'queries', 'nodes': [n.id for n in nodes],
            'commands': list(QUERIES)})
        return {int(number): found for answer in answers.values()
                for number, found in answer['nodes'].items()}

    def node(self, node):
        """A node, as the page has it in its first table."""
        info = self.last.get(node.id, {})
        peers = [n for n in info.get('nodes', ()) if n['id'] != node.id]
        return {**row(node, self.before[node.id], len(self.file.nodes)),
                'address': node.address, 'vmi': node.vmi,
                'cap': info.get('memory', {}).get('cap-pages'),
                'transport': sorted({p['transport'] for p in peers
                                     if 'transport' in p}),
                'silence-ms': max((p['silence-ms'] for p in peers
                                   if 'silence-ms' in p), default=None),
                **{key: info.get(key) for key in (
                    'version', 'protocol', 'clock-offset-ns',
                    'clock-rate-ppb', 'lanes')}}

    def result(self):
        asked = self.asked()
        guest = self.file.guest
        return {
            'name': self.file.path.stem, 'time': self.time,
            'seconds': self.at[-1], 'at': self.at, 'samples': self.samples,
            'guest': {'memory': guest['memory'],
                      'machine': guest.get('machine', 'q35'),
                      'append': guest.get('append', '')},
            'nodes': [self.node(n) for n in self.file.nodes],
            'events': self.events, 'hot': hot_pages(self.first, self.last),
            'waits': waits(self.first, self.last),
            'pages': {n: found['query-distkvm-pages']
                      for n, found in asked.items()
                      if 'query-distkvm-pages' in found},
            # Node 0 shows the functions of all nodes.
            'devices': asked.get(0, {}).get('query-distkvm-pci')}
