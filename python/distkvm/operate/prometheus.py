# SPDX-License-Identifier: GPL-2.0-or-later
"""The nodes of a cluster in Prometheus' text format 0.0.4.

A metric is a row of METRICS or a function of its own.  A node that does not
answer has the metrics of its state, and no others: old numbers would be
wrong."""

from dataclasses import dataclass, field

from .view import PAGE, joined, state_of

PREFIX = 'distkvm_'
KINDS = ('read', 'write', 'upgrade')
STATES = ('absent', 'joining', 'running', 'paused', 'lost', 'ended', 'silent',
          'unreachable')
OTHER = 'other'
# Of query-distkvm's histograms; its last bucket has all that are longer.
BUCKET_SECONDS = 1e-6
ESCAPES = str.maketrans({'\\': r'\\', '"': r'\"', '\n': r'\n'})
# Kind, name, help, and how the value of a node follows from query-distkvm.
METRICS = [
    ('gauge', 'node_members', 'Nodes that this node counts as members, itself '
     'among them.', lambda i: joined({'info': i})),
    ('gauge', 'memory_home_bytes', 'RAM of the guest that the node is home of.',
     lambda i: next(n['home-bytes'] for n in i['nodes']
                    if n['id'] == i['node'])),
    ('gauge', 'memory_resident_bytes', "The guest's memory that is present.",
     lambda i: PAGE * i['memory']['resident-pages']),
    ('gauge', 'memory_owned_bytes', 'The part of it that the node may write '
     'to.', lambda i: PAGE * i['memory']['owned-pages']),
    ('gauge', 'memory_shared_bytes', 'The part of it that the node may only '
     'read.', lambda i: PAGE * i['memory']['shared-pages']),
    ('gauge', 'memory_cap_bytes', "The guest's memory that may be present; 0: "
     'any amount.', lambda i: PAGE * i['memory']['cap-pages']),
    ('counter', 'sent_pages_total', 'Pages given to other nodes, with data.',
     lambda i: i['memory']['pages-sent']),
    ('counter', 'revoked_pages_total', 'Pages taken from the node.',
     lambda i: i['memory']['revocations']),
    ('counter', 'received_bytes_total', 'Bytes of frames from other nodes.',
     lambda i: i['memory']['bytes-received']),
    ('gauge', 'clock_offset_seconds', "How far node 0's guest time was ahead "
     'when last compared.', lambda i: i['clock-offset-ns'] / 1e9),
    ('gauge', 'clock_correction_ratio', "By how much the node's clock is made "
     'to run faster.', lambda i: i['clock-rate-ppb'] / 1e9)]


@dataclass
class Family:
    """A metric with its samples: pairs of labels and a value."""
    kind: str
    name: str
    help: str
    samples: list = field(default_factory=list)

    def add(self, value, suffix='', **labels):
        self.samples.append((suffix, labels, value))

    def lines(self):
        if not self.samples:
            return
        name = PREFIX + self.name
        # In a help text a quotation mark stands for itself.
        words = self.help.replace('\\', r'\\').replace('\n', r'\n')
        yield f'# HELP {name} {words}'
        yield f'# TYPE {name} {self.kind}'
        for suffix, labels, value in self.samples:
            shown = ','.join(f'{key}="{str(v).translate(ESCAPES)}"'
                             for key, v in labels.items())
            yield f'{name}{suffix}{{{shown}}} {number(value)}'


def number(value):
    return str(value) if isinstance(value, int) else repr(float(value))


def states(nodes):
    family = Family('gauge', 'node_state', 'Whether the node is in this state.')
    for labels, found in nodes:
        state = state_of(found)[0]
        state = state if state in STATES else OTHER
        for each in (*STATES, OTHER):
            family.add(int(each == state), **labels, state=each)
    return family


def up(nodes):
    family = Family('gauge', 'node_up', 'Whether the node answers and knows of '
                    'no loss.')
    for labels, found in nodes:
        info = found.get('info')
        family.add(int(bool(info) and not info['failed']), **labels)
    return family


def about(nodes):
    family = Family('gauge', 'node_info', 'Facts of the node; always 1.')
    for labels, found in nodes:
        info = found['info']
        family.add(1, **labels, version=info['version'],
                   protocol=info['protocol'])
    return family


def faults(nodes):
    family = Family('counter', 'faults_total', 'Faults on pages; local ones '
                    'needed no other node.')
    for labels, found in nodes:
        for kind in (*KINDS, 'local'):
            family.add(found['info']['memory'][f'faults-{kind}'], **labels,
                       kind=kind)
    return family


def waits(nodes):
    family = Family('histogram', 'fault_wait_seconds', 'How long faults that '
                    'needed another node took.')
    for labels, found in nodes:
        memory = found['info']['memory']
        for kind in KINDS:
            total = 0
            buckets = memory['waits'][kind]
            for place, count in enumerate(buckets[:-1]):
                total += count
                family.add(total, '_bucket', **labels, kind=kind,
                           le=repr(BUCKET_SECONDS * (1 << place)))
            family.add(sum(buckets), '_bucket', **labels, kind=kind, le='+Inf')
            family.add(memory[f'wait-{kind}-ns'] / 1e9, '_sum', **labels,
                       kind=kind)
            family.add(sum(buckets), '_count', **labels, kind=kind)
    return family


def sent(nodes):
    family = Family('counter', 'sent_bytes_total', 'Bytes of frames to other '
                    'nodes.')
    for labels, found in nodes:
        for kind, count in found['info']['memory']['sent-by-kind'].items():
            family.add(count, **labels, kind=kind)
    return family


def vcpus(nodes):
    family = Family('counter', 'vcpu_seconds_total', 'CPU time of the threads '
                    "of the node's vCPUs.")
    for labels, found in nodes:
        for cpu in found['info']['cpus']:
            if cpu['node'] == found['info']['node']:
                family.add(cpu['executed-ms'] / 1e3, **labels,
                           vcpu=cpu['index'])
    return family


def silence(nodes):
    family = Family('gauge', 'peer_silence_seconds', 'Time since the node has '
                    'heard of a peer.')
    for labels, found in nodes:
        for peer in found['info']['nodes']:
            if 'silence-ms' in peer:
                family.add(peer['silence-ms'] / 1e3, **labels,
                           peer=peer['id'])
    return family


def simple(kind, name, words, value, nodes):
    family = Family(kind, name, words)
    for labels, found in nodes:
        family.add(value(found['info']), **labels)
    return family


def families(file, seen):
    """All metrics of the nodes of a file, as view.observe() has seen them."""
    nodes = [({'guest': file.path.stem, 'node': n.id}, seen[n.id])
             for n in file.nodes]
    # A node of an older build may run on: its state is all that is known.
    answering = [pair for pair in nodes if 'info' in pair[1] and
                 'sent-by-kind' in pair[1]['info']['memory']]
    yield from (up(nodes), states(nodes))
    for make in (about, faults, waits, sent, vcpus, silence):
        yield make(answering)
    for row in METRICS:
        yield simple(*row, answering)


def text(file, seen):
    return '\n'.join(line for family in families(file, seen)
                     for line in family.lines()) + '\n'
