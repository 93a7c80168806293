# SPDX-License-Identifier: GPL-2.0-or-later
"""Time lines and histograms as SVG: a row for each node, a column for each
measure.  All panels of a column have one scale."""

import math
from dataclasses import dataclass
from html import escape

from . import units
from .sample import BYTES, KINDS

WIDTH, LEFT, TOP, BOTTOM = 960, 92, 40, 12
# Between the middles of two words below a panel.
LABEL_X = 66
HEIGHT, GAP_X, GAP_Y, TICKS_X = 84, 16, 18, 48
# Class of CSS and words of each part of a measure, from the bottom up.
TIME_PARTS = [('executing', 'run', 'vCPUs execute'),
              *((f'wait-{kind}', kind, words) for kind, words in (
                  ('read', 'waiting to read'), ('write', 'to write'),
                  ('upgrade', 'to upgrade a copy')))]
FAULT_PARTS = [(f'faults-{kind}', kind, f'to {kind}') for kind in KINDS]
BYTE_WORDS = {'pages': 'whole pages', 'blocks': 'changed blocks of pages',
              'operations': 'operations', 'protocol': 'requests and answers',
              'services': 'interrupts, devices'}
BYTE_PARTS = [(f'sent-{kind}', f'b-{kind}', BYTE_WORDS[kind])
              for kind in BYTES]


@dataclass
class Measure:
    title: str
    parts: list
    show: object
    round: object = units.rounded
    # The scale goes at least so far.
    least: float = 0
    # Drawn as a line, on the same scale.
    line: tuple = None


MEASURES = [
    Measure("time of the node's vCPUs", TIME_PARTS, units.percent, least=100),
    Measure('faults in a second', FAULT_PARTS, units.count),
    Measure('bytes sent in a second', BYTE_PARTS, units.data,
            units.rounded_data, line=('bytes-received', 'received'))]


def text(x, y, words, anchor='start', css=''):
    css = f' class="{css}"' if css else ''
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>'
            f'{escape(words)}</text>')


def total(measure, rates):
    return sum(rates[key] for key, _, _ in measure.parts)


def top_of(measure, samples):
    """The end of a measure's scale, for all nodes."""
    most = max((max(total(measure, r), r[measure.line[0]]
                    if measure.line else 0)
                for sample in samples for r in sample if r), default=0)
    return measure.round(max(most, measure.least))


@dataclass
class Panel:
    """A rectangle with a scale of time and one of values."""
    x: float
    y: float
    width: float
    seconds: float
    most: float

    def at_x(self, seconds):
        return self.x + self.width * seconds / self.seconds

    def at_y(self, value):
        return self.y + HEIGHT * (1 - value / self.most)

    def frame(self):
        lines = ''.join(
            f'M{self.x:.1f} {self.at_y(self.most * part):.1f}h{self.width:.1f}'
            for part in (0, 0.5, 1))
        return f'<path class="grid" d="{lines}"/>'

    def steps(self, at, series):
        """A path that has each value from one look to the next, down to the
        bottom where there is none."""
        words = []
        for begin, end, (low, high) in zip(at, at[1:], series):
            if high > low:
                words.append(f'M{self.at_x(begin):.1f} {self.at_y(low):.1f}'
                             f'V{self.at_y(high):.1f}H{self.at_x(end):.1f}'
                             f'V{self.at_y(low):.1f}z')
        return ''.join(words)

    def line(self, at, values):
        words, gap = [], True
        for begin, end, value in zip(at, at[1:], values):
            if value is None:
                gap = True
                continue
            words.append(f'{"M" if gap else "L"}{self.at_x(begin):.1f} '
                         f'{self.at_y(value):.1f}H{self.at_x(end):.1f}')
            gap = False
        return ''.join(words)


def stacked(panel, at, measure, rates):
    """The parts of a measure, one above another."""
    floor = [0] * len(rates)
    for key, css, words in measure.parts:
        series = []
        for place, each in enumerate(rates):
            high = floor[place] + (each[key] if each else 0)
            series.append((floor[place], high))
            floor[place] = high
        mean = [each[key] for each in rates if each]
        mean = sum(mean) / len(mean) if mean else 0
        path = panel.steps(at, series)
        if path:
            yield (f'<path class="{css}" d="{path}"><title>'
                   f'{escape(words)}: {escape(measure.show(mean))} on '
                   'average</title></path>')
    if measure.line:
        key = measure.line[0]
        path = panel.line(at, [each[key] if each else None for each in rates])
        if path:
            yield f'<path class="line" d="{path}"/>'


def absent(panel, at, rates):
    """Where a node says nothing."""
    path = panel.steps(at, [(0, 0 if each else panel.most)
                            for each in rates])
    if path:
        yield (f'<path class="none" d="{path}"><title>no answer of the node'
               '</title></path>')


def ticks(panel, measure, last):
    yield panel.frame()
    for part in (0, 0.5, 1):
        words = measure.show(panel.most * part)
        yield text(panel.x - 5, panel.at_y(panel.most * part) + 4, words,
                   'end')
    if last:
        bottom = panel.y + HEIGHT + 16
        for part in (0, 0.5, 1):
            anchor = {0: 'start', 0.5: 'middle', 1: 'end'}[part]
            value = panel.seconds * part
            words = f'{round(value, 1 if value < 10 else 0):g} s'
            yield text(panel.x + panel.width * part, bottom, words, anchor)


def node_label(node, y):
    yield text(0, y + 14, f"node {node['node']}", css='name')
    yield text(0, y + 30, node['host'][:13])
    yield text(0, y + 46, f"{node['vcpus']} vCPU"
               f"{'' if node['vcpus'] == 1 else 's'}")


def svg(height, label, parts):
    return (f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
            f'aria-label="{escape(label)}">' + '\n'.join(parts) + '</svg>')


def column(number, columns):
    """Where a column of panels begins, and its width."""
    width = (WIDTH - LEFT - columns * TICKS_X - (columns - 1) * GAP_X) / \
        columns
    return LEFT + TICKS_X + number * (width + TICKS_X + GAP_X), width


def time_lines(sample):
    parts = []
    tops = [top_of(m, sample['samples']) for m in MEASURES]
    for number, measure in enumerate(MEASURES):
        x, _ = column(number, len(MEASURES))
        parts.append(text(x, 16, measure.title, css='name'))
    for place, node in enumerate(sample['nodes']):
        y = TOP + place * (HEIGHT + GAP_Y)
        parts += node_label(node, y)
        rates = [each[place] for each in sample['samples']]
        for number, measure in enumerate(MEASURES):
            x, width = column(number, len(MEASURES))
            panel = Panel(x, y, width, sample['at'][-1], tops[number])
            parts += ticks(panel, measure,
                           place == len(sample['nodes']) - 1)
            parts += absent(panel, sample['at'], rates)
            parts += stacked(panel, sample['at'], measure, rates)
    height = TOP + len(sample['nodes']) * (HEIGHT + GAP_Y) + BOTTOM
    return svg(height, 'time lines of each node', parts)


def legend(parts, line=None):
    """Words and colours of a chart, as HTML."""
    keys = [f'<span><i class="{css}"></i>{escape(words)}</span>'
            for _, css, words in parts]
    if line:
        keys.append(f'<span><i class="line"></i>{escape(line)}</span>')
    return '<p class="legend">' + ' '.join(keys) + '</p>'


# ------------------------------------------------------------- histograms

def bucket_end(number):
    """Seconds at which a bucket of query-distkvm ends."""
    return (1 << number) * 1e-6


def rough(seconds):
    """A power of two of microseconds, without a fraction above ten."""
    for size, unit in units.TIMES:
        if seconds >= size:
            value = seconds / size
            return f'{round(value, 0 if value >= 10 else 1):g} {unit}'
    return units.duration(seconds)


def quantile(buckets, part):
    """Seconds that this part of all waits stays below; None without waits."""
    left = sum(buckets) * part
    for number, count in enumerate(buckets):
        left -= count
        if count and left <= 0:
            return bucket_end(number)
    return None


def used(waits):
    """The buckets that any node has used, as a range, and one on each side."""
    filled = [n for node in waits.values() for kind in node.values()
              for n, count in enumerate(kind) if count]
    return range(max(0, min(filled) - 1), max(filled) + 2) if filled else None


def histogram(panel, waits, buckets):
    width = panel.width / len(buckets)
    floor = [0] * len(buckets)
    for kind in KINDS:
        words = []
        for place, number in enumerate(buckets):
            count = waits[kind][number] if number < len(waits[kind]) else 0
            if count:
                low, high = floor[place], floor[place] + count
                words.append(f'M{panel.x + place * width + 0.5:.1f} '
                             f'{panel.at_y(low):.1f}V{panel.at_y(high):.1f}'
                             f'h{width - 1:.1f}V{panel.at_y(low):.1f}z')
                floor[place] = high
        if words:
            yield (f'<path class="{kind}" d="{"".join(words)}"><title>to '
                   f'{kind}: {sum(waits[kind])} faults</title></path>')


def edges(panel, buckets):
    """Times below a histogram; not more than fit."""
    width = panel.width / len(buckets)
    every = max(1, math.ceil(LABEL_X / width))
    for place in range(0, len(buckets), every):
        number = buckets[place]
        yield text(panel.x + place * width, panel.y + HEIGHT + 16,
                   rough(bucket_end(number - 1)) if number else '0',
                   'middle')


def wait_histograms(sample):
    """How long faults took, or None if there were none."""
    waits = {n: w for n, w in sample['waits'].items() if any(w.values())}
    buckets = used(waits)
    if not buckets:
        return None
    most = units.rounded(max(
        sum(w[kind][number] for kind in KINDS if number < len(w[kind]))
        for w in waits.values() for number in buckets))
    parts = [text(LEFT + TICKS_X, 16, 'faults, by the time that they took '
                  '(each bar spans twice the time of the one before)',
                  css='name'),
             *(text(WIDTH - right, 16, words, 'end', 'name') for right, words
               in ((90, 'half below'), (0, '99 % below')))]
    place = 0
    for node in sample['nodes']:
        if node['node'] not in waits:
            continue
        y = TOP + place * (HEIGHT + GAP_Y + 14)
        panel = Panel(LEFT + TICKS_X, y, WIDTH - LEFT - TICKS_X - 260, 1, most)
        each = waits[node['node']]
        parts += [*node_label(node, y), panel.frame(),
                  *(text(panel.x - 5, panel.at_y(most * p) + 4,
                         units.count(most * p), 'end') for p in (0, 0.5, 1)),
                  *histogram(panel, each, buckets), *edges(panel, buckets)]
        parts += summary(each, y)
        place += 1
    return svg(TOP + place * (HEIGHT + GAP_Y + 14) + 4,
               'how long faults took', parts)


def summary(waits, y):
    """A line for each kind of wait."""
    found = [kind for kind in KINDS if sum(waits[kind])]
    for line, kind in enumerate(found):
        bottom = y + 14 + 18 * line
        yield text(WIDTH - 240, bottom, f'to {kind}')
        for right, part in ((90, 0.5), (0, 0.99)):
            yield text(WIDTH - right, bottom,
                       rough(quantile(waits[kind], part)), 'end')
