# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of bench work as one HTML page that needs nothing else: ratios, and
for each traced workload a timeline and the names of pages."""

from html import escape

from ..page import cells, document
from . import counters
from .text import limited, number, parameters

WIDTH, ROW, LEFT, GAP = 760, 44, 110, 12
NAMES = 15
STYLE = '''
svg .wait { fill: var(--bar); } svg .event { fill: var(--bad); }
svg .frame { fill: none; stroke: var(--rule); }
'''


def ratios(report):
    yield '<table>' + cells(['workload', 'what', ('plain',), ('cluster',),
                             'unit', ('ratio',), ('least to greatest',), 'better'],
                            head=True)
    for row in report['rows']:
        if row['ratio'] is None:
            yield cells([row['workload'], row['about'], 'no ratio'])
            continue
        yield cells([
            row['workload'], row['about'], (number(row['plain']),),
            (number(row['cluster']),), row['unit'], (number(row['ratio']),),
            (f"{number(row['least'])} to {number(row['greatest'])}",),
            'less' if row['less-is-better'] else 'more'])
    yield '</table>'


def strip(values, scale, top, css):
    """One row of a timeline: bars from its bottom."""
    width = (WIDTH - LEFT) / len(values)
    height = ROW - GAP
    for place, value in enumerate(values):
        if value > 0:
            tall = min(value / scale, 1) * height
            yield (f'<rect class="{css}" x="{LEFT + place * width:.1f}" '
                   f'y="{top + height - tall:.1f}" width="{width:.2f}" '
                   f'height="{tall:.1f}"/>')
    yield (f'<rect class="frame" x="{LEFT}" y="{top}" '
           f'width="{WIDTH - LEFT}" height="{height}"/>')


def timeline(line):
    """An SVG: waiting of each node, then events, over the workload's time."""
    per_second = 1000 / line['bucket-ms']
    rows = [(f'node {n} waits', values, 1, 'wait', '100 %')
            for n, values in enumerate(line['waited'])]
    for kind, label in (('interrupts', 'IPIs sent'),
                        ('accesses', 'device accesses')):
        most = max(line[kind], default=0) or 1
        rows.append((label, line[kind], most, 'event',
                     f'{number(most * per_second)}/s'))
    parts = []
    for place, (label, values, scale, css, top_label) in enumerate(rows):
        top = place * ROW + 4
        parts += [f'<text x="0" y="{top + 13}">{escape(label)}</text>',
                  f'<text x="0" y="{top + 28}">to {escape(top_label)}</text>',
                  *strip(values, scale, top, css)]
    seconds = line['bucket-ms'] * len(line['waited'][0]) / 1000
    bottom = len(rows) * ROW + 14
    parts += [f'<text x="{LEFT}" y="{bottom}">0</text>',
              f'<text x="{WIDTH}" y="{bottom}" text-anchor="end">'
              f'{seconds:.1f} s</text>']
    return (f'<svg viewBox="0 0 {WIDTH} {bottom + 6}" role="img" '
            'aria-label="timeline">' + ''.join(parts) + '</svg>')


def traced(entry):
    yield f"<h2>{escape(entry['workload'])}</h2>"
    if entry['status']:
        yield f"<p class=problem>ended with status {entry['status']}</p>"
    yield timeline(entry['timeline'])
    yield '<p>' + '; '.join(
        f"{kind}: {k['faults']} faults, {k['seconds']:.2f} s"
        for kind, k in counters.by_kind(entry['nodes']).items()) + '.  ' + \
        '; '.join(f'node {n}, {escape(thread)}: {seconds:.2f} s'
                  for n, threads in enumerate(entry['threads'])
                  for thread, seconds in threads.items()) + '.  ' + \
        '; '.join(f'{kind}: {rate:.0f}/s'
                  for kind, rate in entry['rates'].items()) + '.</p>'
    yield '<table>' + cells(['pages by name', ('faults',), ('waited, s',)],
                            head=True)
    for name in entry['names'][:NAMES]:
        yield cells([name['name'], (name['faults'],),
                     (f"{name['seconds']:.3f}",)])
    yield '</table>'


def boot_pages(pages):
    yield '<h2>boot</h2><table>' + cells(['hottest pages of a boot',
                                          ('faults',)], head=True)
    for entry in pages[:NAMES]:
        yield cells([entry['name'], (entry['faults'],)])
    yield '</table>'


def page(report):
    body = ['<h1>bench work</h1>',
            f"<p class=soft>{report['nodes']} nodes of one vCPU over "
            f"{escape(str(report['transport']))}, against plain QEMU of the "
            f"same build; rounds: {report['rounds']}; NUMA nodes of the guest: "
            f"{escape(str(report['guest-numa-nodes']))}"
            f'{escape(limited(report) + parameters(report))}</p>',
            *ratios(report)]
    for problem in report['problems']:
        body.append(f'<p class=problem>{escape(problem)}</p>')
    if report['boot-pages']:
        body += boot_pages(report['boot-pages'])
    if report['traced']:
        body.append('<p>Each workload below ran once more with traces: bars '
                    'are the share of time that threads of a node waited for '
                    'pages.</p>')
    for entry in report['traced']:
        body += traced(entry)
    return document('bench work', STYLE, body)
