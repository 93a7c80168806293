# SPDX-License-Identifier: GPL-2.0-or-later
"""Which node has which of the guest's memory, as a map: an upright bar for each
cell of RAM, and in it the part of the cell's pages that each node owns."""

from . import units
from .charts import WIDTH, svg, text

PAGE = 4096
LEFT, COLUMNS = 92, 128
BAR, HOME, GAP = 30, 4, 10
# Okabe and Ito's colours, which most people can tell apart.
COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00',
           '#b8a800', '#8a6fbf')
GOLDEN_ANGLE = 137.5


def colour(node, nodes):
    return COLOURS[node] if nodes <= len(COLOURS) else \
        f'hsl({node * GOLDEN_ANGLE % 360:.0f} 60% 50%)'


def style(nodes):
    """Classes of CSS for the nodes' colours."""
    return ''.join(f'.n{n} {{ fill: {colour(n, nodes)}; '
                   f'background: {colour(n, nodes)}; }}\n'
                   for n in range(nodes))


class Census:
    """The counts of all nodes that gave some, cell by cell."""

    def __init__(self, pages):
        self.pages = {int(n): p for n, p in pages.items()}
        first = next(iter(self.pages.values()))
        self.cell_bytes, self.bytes = first['cell-bytes'], first['bytes']
        self.homes = first['homes']

    def __len__(self):
        return len(self.homes)

    def cell_pages(self, cell):
        left = self.bytes - cell * self.cell_bytes
        return min(left, self.cell_bytes) // PAGE

    def owned(self, cell):
        """Pages that each node owns; a page that moved while nodes were asked
        may be counted twice."""
        found, left = {}, self.cell_pages(cell)
        for node, pages in sorted(self.pages.items()):
            found[node] = min(pages['owned'][cell], left)
            left -= found[node]
        return found

    def shared(self, cell):
        """Read-only pages of the node that has most of them: at least so many
        pages are shared."""
        most = max(p['shared'][cell] for p in self.pages.values())
        return min(most, self.cell_pages(cell) -
                   sum(self.owned(cell).values()))

    def totals(self):
        """Bytes of each node: of its homes, owned and shared."""
        for node, pages in sorted(self.pages.items()):
            home = sum(self.cell_pages(c) * PAGE for c in range(len(self))
                       if self.homes[c] == node)
            yield (node, home, sum(pages['owned']) * PAGE,
                   sum(pages['shared']) * PAGE)


def layers(census, cells):
    """By class of CSS, the bars of a row: (column, low, high), of 1."""
    found = {}
    for column, cell in enumerate(cells):
        low, pages = 0, census.cell_pages(cell)
        parts = [(f'n{node}', count) for node, count in
                 census.owned(cell).items()]
        for css, count in [*parts, ('shared', census.shared(cell))]:
            if count:
                high = low + count / pages
                found.setdefault(css, []).append((column, low, high))
                low = high
    return found


def homes(census, cells):
    """Runs of cells with one home: (node, first column, columns)."""
    runs = []
    for column, cell in enumerate(cells):
        node = census.homes[cell]
        if runs and runs[-1][0] == node:
            runs[-1][2] += 1
        else:
            runs.append([node, column, 1])
    return runs


def about(census, cells):
    """A row in words."""
    owned = {}
    for cell in cells:
        for node, count in census.owned(cell).items():
            owned[node] = owned.get(node, 0) + count * PAGE
    words = [f'node {node} owns {units.data(count)}'
             for node, count in owned.items() if count]
    shared = sum(census.shared(cell) for cell in cells) * PAGE
    if shared:
        words.append(f'{units.data(shared)} shared')
    return f'from {units.data(cells[0] * census.cell_bytes)} on: ' + \
        ('; '.join(words) or 'no page is in use')


def row(census, cells, y, width):
    yield f'<g><title>{about(census, cells)}</title>'
    yield (f'<rect class="blank" x="{LEFT}" y="{y}" '
           f'width="{width * len(cells):.1f}" height="{BAR}"/>')
    for css, bars in layers(census, cells).items():
        path = ''.join(
            f'M{LEFT + column * width:.2f} {y + BAR * (1 - low):.2f}'
            f'h{width:.2f}v{-BAR * (high - low):.2f}h{-width:.2f}z'
            for column, low, high in bars)
        yield f'<path class="{css}" d="{path}"/>'
    for node, column, count in homes(census, cells):
        yield (f'<rect class="n{node}" x="{LEFT + column * width:.2f}" '
               f'y="{y + BAR + 2}" width="{count * width:.2f}" '
               f'height="{HOME}"/>')
    yield '</g>'


def picture(census):
    columns = min(COLUMNS, len(census))
    width = (WIDTH - LEFT) / columns
    parts, y = [], 4
    for first in range(0, len(census), columns):
        cells = range(first, min(first + columns, len(census)))
        parts.append(text(LEFT - 8, y + BAR / 2 + 4,
                          units.data(first * census.cell_bytes), 'end'))
        parts += row(census, cells, y, width)
        y += BAR + HOME + GAP
    return svg(y, 'map of memory', parts)


def legend(census, nodes):
    keys = [f'<span><i class="n{n}"></i>owned by node {n}</span>'
            for n in range(nodes)]
    return ('<p class="legend">' + ' '.join(keys) +
            ' <span><i class="shared"></i>shared, read-only</span>'
            ' <span><i class="blank"></i>on no node</span></p>'
            f'<p class="soft">Each upright bar is '
            f'{units.data(census.cell_bytes)} of RAM; its height is the part '
            'of its pages that are in use.  The line below has the colour of '
            'the home.  Of shared pages the node counts that has most of them.'
            '  Offsets are those in RAM: above a hole in the memory map '
            'the guest has other addresses.</p>')
