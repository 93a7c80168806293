# SPDX-License-Identifier: GPL-2.0-or-later
"""The page about a cluster: facts in words and tables first, then pictures."""

import time
from html import escape

from ..operate.view import WELL
from ..page import document, table
from . import charts, memory_map, units

PAGE = 4096
STYLE = '''
:root { --run: #8fbf8f; --read: #4a7fb5; --write: #d98032; --upgrade: #9a6bb0;
  --pages: #34618f; --blocks: #7ba7d0; --operations: #c9a227;
  --protocol: #8c8c8c; --services: #b3586b; --shared: #9b9b9b;
  --blank: #f2f2f2; }
@media (prefers-color-scheme: dark) { :root { --run: #5d8f5f; --read: #6fa3d8;
  --write: #e0954f; --upgrade: #b48bc8; --pages: #5f93c9; --blocks: #9cc3e6;
  --operations: #d9b84a; --protocol: #7d7d7d; --services: #cf7688;
  --shared: #8a8a8a; --blank: #262626; } }
body { max-width: 64em; }
h1 { margin-bottom: 0; } h2 { margin: 2em 0 .4em; font-size: 1.2em; }
.state { border-left: 5px solid var(--good); padding: .4em .8em; }
.state.bad { border-color: var(--bad); }
.legend span { margin-right: 1.2em; white-space: nowrap; }
.legend i { display: inline-block; width: .9em; height: .9em;
  margin-right: .35em; vertical-align: -.1em; }
svg .name { fill: var(--ink); font-weight: 600; }
svg .grid { stroke: var(--rule); fill: none; }
svg .none { fill: var(--bad); opacity: .18; }
svg .line { fill: none; stroke: var(--ink); stroke-width: 1.2; }
i.line { background: var(--ink); height: 2px; vertical-align: .3em; }
meter { width: 9em; }
''' + ''.join(
    f'.{css} {{ fill: var(--{name}); background: var(--{name}); }}\n'
    for css, name in (
        *((kind, kind) for kind in ('run', 'read', 'write', 'upgrade')),
        *((f'b-{kind}', kind) for kind in charts.BYTES),
        ('shared', 'shared'), ('blank', 'blank')))
# Of PCI.
CLASSES = {0x00: 'old', 0x01: 'storage', 0x02: 'network', 0x03: 'display',
           0x04: 'multimedia', 0x05: 'memory', 0x06: 'bridge',
           0x07: 'communication', 0x08: 'system', 0x09: 'input',
           0x0c: 'serial bus', 0x0d: 'wireless', 0xff: 'other'}
DASH = '–'


def head(sample):
    guest, nodes = sample['guest'], sample['nodes']
    begin = time.strftime('%Y-%m-%d %H:%M:%S UTC', time.gmtime(sample['time']))
    vcpus = sum(n['vcpus'] for n in nodes)
    yield f"<h1>{escape(sample['name'])}</h1>"
    yield (f"<p class=\"soft\">{escape(guest['machine'])}, "
           f"{escape(guest['memory'])} of RAM, {vcpus} vCPUs over "
           f"{len(nodes)} nodes; sampled for {units.digits(sample['seconds'])}"
           f" s from {begin} on</p>")


def verdict(sample):
    """The first thing that an operator wants to know."""
    bad = [n for n in sample['nodes'] if n['state'] not in WELL]
    if not bad:
        yield ('<p class="state">All nodes take part, and none is lost.</p>')
        return
    yield '<div class="state bad">'
    for node in bad:
        reason = f": {node['reason']}" if node['reason'] else ''
        yield (f"<p class=\"problem\">node {node['node']} is "
               f"{escape(node['state'])}{escape(reason)}</p>")
    yield '</div>'


def clock(node):
    """By how much a node's guest time was corrected last."""
    offset = node['clock-offset-ns']
    if node['node'] == 0 or offset is None:
        return DASH
    return ('−' if offset < 0 else '+') + units.duration(abs(offset) * 1e-9)


def nodes(sample):
    yield '<h2>Nodes</h2>'
    yield table(
        [('node',), 'host', 'state', ('vCPUs',), ('home of',), ('holds',),
         'over', ('silent for',), ('clock',), 'version'],
        [[(n['node'],), n['host'], n['state'], (n['vcpus'],),
          (DASH if n['memory'] is None else units.data(n['memory']),),
          (DASH if n['held'] is None else units.data(n['held']),),
          ', '.join(n['transport']) or DASH,
          (DASH if n['silence-ms'] is None else f"{n['silence-ms']} ms",),
          (clock(n),),
          DASH if n['version'] is None else
          f"{n['version']}, frames {n['protocol']}"]
         for n in sample['nodes']])
    yield ('<p class="soft">Silent for: since the node has heard of the peer '
           'that it has not heard of for longest.  Clock: how far node 0\'s '
           'guest time was ahead when the node compared it last.</p>')


def events(sample):
    """Only changes: the first state of each node is in the table."""
    changes = [e for e in sample['events'] if e['at'] > 0]
    if not changes:
        return
    yield '<h2>Changes of state</h2>'
    yield table([('after',), ('node',), 'became', 'reason'],
                [[(f"{e['at']:.1f} s",), (e['node'],), e['state'], e['reason']]
                 for e in changes])


def means(sample):
    """A table with the averages of the time lines."""
    yield table(
        [('node',), ('execute',), ('wait',), ('read/s',), ('write/s',),
         ('upgrade/s',), ('sent/s',), ('received/s',)],
        [[(n['node'],), *((shown,) for shown in mean(
            [s[place] for s in sample['samples'] if s[place]]))]
         for place, n in enumerate(sample['nodes'])])


def mean(rates):
    if not rates:
        return [DASH] * 7

    def of(*keys):
        return sum(each[key] for each in rates for key in keys) / len(rates)

    return [units.percent(of('executing')),
            units.percent(of(*(f'wait-{k}' for k in charts.KINDS))),
            *(units.count(of(f'faults-{k}')) for k in charts.KINDS),
            units.data(of(*(key for key, _, _ in charts.BYTE_PARTS))),
            units.data(of('bytes-received'))]


def lines(sample):
    yield '<h2>Time lines</h2>'
    if not any(each for looks in sample['samples'] for each in looks):
        yield '<p>No node gave two answers that could be compared.</p>'
        return
    yield from means(sample)
    yield charts.legend(charts.TIME_PARTS)
    yield charts.legend(charts.BYTE_PARTS, 'bytes received')
    yield charts.time_lines(sample)
    yield ('<p class="soft">Averages from one look to the next; a column has '
           'one scale.  Faults have the colours of waits.  Node 0\'s devices '
           'wait for pages, too.  Where a node gave no answer the panel is '
           'red.</p>')
    picture = charts.wait_histograms(sample)
    if picture:
        yield '<h2>How long faults took</h2>'
        yield picture


def memory(sample):
    yield '<h2>Memory</h2>'
    if not sample['pages']:
        yield '<p>No node said which pages it has.</p>'
        return
    census = memory_map.Census(sample['pages'])
    missing = [str(n['node']) for n in sample['nodes']
               if n['node'] not in census.pages]
    if missing:
        yield (f'<p class="problem">Pages of node {", ".join(missing)} are '
               'missing here: it gave no answer.</p>')
    yield table([('node',), ('home of',), ('owns',), ('shares',)],
                [[(n,), *((units.data(b),) for b in counts)]
                 for n, *counts in census.totals()])
    yield memory_map.legend(census, len(sample['nodes']))
    yield memory_map.picture(census)


def hot(sample):
    yield '<h2>Hottest pages</h2>'
    found = [h for h in sample['hot'] if sum(h['faults'].values())]
    if not found:
        yield '<p>No page had a fault that needed another node.</p>'
        return
    named = any(h.get('name') for h in found)
    numbers = [n['node'] for n in sample['nodes']]
    most = max(sum(h['faults'].values()) for h in found)
    yield table(
        [('offset in RAM',), *((f'node {n}',) for n in numbers),
         ('faults',), ('of most',), *(['in the kernel'] if named else [])],
        [[(f"{h['page'] * PAGE:#x}",),
          *((h['faults'].get(n, DASH),) for n in numbers),
          (f"{sum(h['faults'].values())}{'+' if h['at-least'] else ''}",),
          (units.percent(100 * sum(h['faults'].values()) / most),),
          *([h.get('name') or DASH] if named else [])] for h in found])
    yield ('<p class="soft">Faults that needed another node, while the '
           'cluster was sampled, of the twenty pages that each node names.  '
           'With +: at least so many; a count has come to its end, or the '
           'page was not among the twenty when sampling began.</p>')
    if named and 'nokaslr' not in sample['guest']['append'].split():
        yield ('<p class="problem">Names hold only if the guest\'s kernel was '
               'started with "nokaslr": the cluster file does not say so.</p>')


def place(function):
    """Where the guest finds a PCI function."""
    at = function.get('at')
    return DASH if not at else (f"{function.get('bus', 0):02x}:"
                                f"{at['slot']:02x}.{at['function']}")


def devices(sample):
    yield '<h2>PCI devices</h2>'
    if sample['devices'] is None:
        yield '<p>Node 0 did not say which devices there are.</p>'
        return
    yield table(
        [('node',), 'at', 'kind', 'vendor:device', 'id', ('BARs',),
         'works'],
        [[(f['owner'],), place(f), CLASSES.get(f['class'] >> 8, 'other'),
          f"{f['vendor']:04x}:{f['device']:04x}", f.get('id') or DASH,
          (units.data(sum(r['bytes'] for r in f['regions'])),),
          'bus master' if f['bus-master'] else DASH]
         for f in sorted(sample['devices'], key=lambda f: (
             f['owner'], place(f)))])


def page(sample):
    body = [part for section in (head, verdict, nodes, events, lines, memory,
                                 hot, devices) for part in section(sample)]
    return document(f"{sample['name']}: distkvm report",
                    STYLE + memory_map.style(len(sample['nodes'])), body)
