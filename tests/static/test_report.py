# SPDX-License-Identifier: GPL-2.0-or-later
"""The page about a cluster: its facts, its shape, and its look."""

import json
import os
import re
import signal
from types import SimpleNamespace

import pytest

from browser import Page, browser, colours_of, corner, screenshot
from distkvm.common import BUILD, Problem
from distkvm.operate.view import WELL
from distkvm.report import charts, html, memory_map, names, sample, units
from naming import cases, named
from operating import await_end, place

pytestmark = pytest.mark.overlaps

KERNEL = 0xffffffff80000000
BUCKETS = 24


def rates(value):
    """Of one interval."""
    return {'executing': 10 * value, **{f'wait-{k}': value for k in sample.KINDS},
            **{f'faults-{k}': 100 * value for k in sample.KINDS},
            **{f'sent-{k}': 1024 * value for k in sample.BYTES},
            'bytes-received': 2048 * value}


def node(number, **more):
    return {'node': number, 'host': f'host{number}', 'pid': 1, 'vcpus': 2,
            'state': 'running', 'exit': None, 'memory': 1 << 30,
            'held': 300 << 20, 'joined': 3, 'nodes': 3, 'reason': '',
            'address': None, 'vmi': 'tcg', 'cap': 0, 'transport': ['tcp'],
            'silence-ms': 40, 'version': '0.1.0', 'protocol': 14,
            'clock-offset-ns': -1500 * number, 'clock-rate-ppb': 0,
            'lanes': 1, **more}


def waves(count, place_of_node):
    """Rates that go up and down, another way on each node."""
    return [rates(1 + (n * (place_of_node + 3)) % 7) for n in range(count)]


def made(looks=60, cells=512, **more):
    """A sample of three nodes, as a busy cluster gives it."""
    counts = {n: {'cell-bytes': 2 << 20, 'bytes': cells * (2 << 20) - (1 << 20),
                  'homes': [3 * c // cells for c in range(cells)],
                  'owned': [(c * 7 + n * 31) % 170 for c in range(cells)],
                  'shared': [60 if c % 9 == 0 else 0 for c in range(cells)]}
              for n in range(3)}
    lines = [waves(looks, n) for n in range(3)]
    return {
        'name': 'example', 'time': 1.8e9, 'seconds': float(looks),
        'at': [float(n) for n in range(looks + 1)],
        'samples': [list(each) for each in zip(*lines)],
        'guest': {'memory': '1G', 'machine': 'q35', 'append': 'nokaslr'},
        'nodes': [node(n) for n in range(3)],
        'events': [{'at': 0.0, 'node': n, 'state': 'running', 'reason': ''}
                   for n in range(3)],
        'hot': [{'page': 0x1c00 + n, 'faults': {0: 900 // (n + 1), 1: 40 + n},
                 'since-start': 5000, 'at-least': n == 0,
                 'name': 'kernel data: jiffies, tk_core'} for n in range(8)],
        'waits': {n: {kind: [max(0, 900 - 130 * abs(b - 8 - n)) for b in
                             range(BUCKETS)] for kind in sample.KINDS}
                  for n in range(3)},
        'pages': counts,
        'devices': [{'owner': n % 3, 'id': f'disk{n}', 'bus': 0,
                     'at': {'slot': n, 'function': 0}, 'class': 0x106,
                     'vendor': 0x8086, 'device': 0x2922, 'bus-master': True,
                     'regions': [{'bytes': 4096}]} for n in range(5)], **more}


# --------------------------------------------------------------- the verb

@named('static: report: a page about nodes, and what they said')
def test_verb():
    with place() as found:
        found.tool('up')
        page, facts = found.path / 'out.html', found.path / 'facts.json'
        said = found.tool('report', '--seconds', '0.6', '--interval', '0.2',
                          '-o', str(page), '--json', str(facts)).stderr
        assert f'{page} is written' in said
        assert not list(found.path.glob('.*partial'))
        read, facts = Page(page.read_text()), json.loads(facts.read_text())
        # Each look adds 1000 to every counter of a node.
        looks = len(facts['at']) - 1
        assert looks >= 1 and len(facts['samples']) == looks
        for each in facts['samples'][0]:
            assert each['faults-read'] == pytest.approx(
                5 * each['sent-pages'])
        assert facts['waits']['0']['read'][7] == 1000 * looks
        assert sum(facts['waits']['0']['read']) == 1000 * looks
        hot = {h['page']: h['faults'] for h in facts['hot']}
        assert hot[0x1000] == {'0': 1000 * looks}
        assert hot[0x1001] == {'1': 1000 * looks}
        # It was hot before.
        assert hot[0x2000] == {'0': 0, '1': 0}
        nodes = read.tables[0]
        assert [row[:5] for row in nodes[1:]] == [
            ['0', 'this host', 'running', '1', '1 GiB'],
            ['1', 'this host', 'running', '1', '1 GiB']]
        assert [row[8] for row in nodes[1:]] == ['–', '−1.5 µs']
        assert 'All nodes take part' in read.text
        assert 'node1.<disk>' in read.text and '1b36:0010' in read.text
        # Two pictures of time, and a map.
        assert len(read.pictures) == 3
        found.tool('down')
        assert 'no node runs' in found.tool('report', status=1).stderr


@named('static: report: a node that dies is in its page')
def test_loss():
    with place() as found:
        found.tool('up')
        pid = found.status()[1]['pid']
        os.kill(pid, signal.SIGKILL)
        await_end([pid])
        page = found.path / 'out.html'
        found.tool('report', '--seconds', '0.3', '--interval', '0.1', '-o',
                   str(page))
        text = Page(page.read_text()).text
        assert 'node 0 is lost: node 1 is lost: it has closed' in text
        assert 'node 1 is ended: ended with signal 9' in text
        assert 'All nodes take part' not in text
        assert 'Pages of node 1 are missing' in text


@cases('args, wanted', {
    'static: report: no time': (['--seconds', 'nan'], '--seconds: write'),
    'static: report: too many looks':
        (['--interval', '0.000001'], '--interval: write'),
    'static: report: symbols that are not there':
        (['--symbols', '/none'], '/none: No such file'),
    'static: report: symbols of nothing':
        (['--symbols', '/dev/null'], 'has no symbols of a kernel')})
def test_mistakes(args, wanted):
    with place() as found:
        assert wanted in found.tool('report', *args, status=1).stderr


@cases('option', {
    'static: report: no place for the page': ('-o',),
    'static: report: no place for its facts': ('--json',)})
def test_no_place(option):
    """It is known before a node is asked: none runs."""
    with place() as found:
        said = found.tool('report', option, '/none/x', status=1).stderr
        assert '/none/x: No such file' in said and 'looking' not in said


@named('static: report: others may read it if the umask says so')
def test_umask():
    with place() as found:
        page, facts = found.path / 'x.html', found.path / 'x.json'
        found.tool('up')
        found.tool('report', '--seconds', '0.2', '-o', str(page), '--json',
                   str(facts), umask=0o077)
        found.tool('down')
        for path in (page, facts):
            assert path.stat().st_mode & 0o777 == 0o600


@named('static: report: Ctrl-C ends the looks, and not the page')
def test_interrupted(monkeypatch, tmp_path):
    rests = []

    def sleep(_):
        rests.append(None)
        if len(rests) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sample.time, 'sleep', sleep)
    sampler = sample.Sampler(file_of(tmp_path), FakeHosts(file_of(tmp_path)))
    sampler.run(1e9, 1)
    assert len(sampler.result()['samples']) == 2


@named('static: report: faults of before do not count')
def test_hot():
    """Of a page that was not among the first ones, too."""
    def answer(pages):
        return {0: {'memory': {'hot-pages': [
            {'page': n, 'faults': count} for n, count in pages]}}}

    before = [(n, 6000 - n) for n in range(20)]
    found = sample.hot_pages(answer(before),
                             answer([(0, 6003), (99, 5990), *before[1:19]]))
    # The least one had 5981.
    assert [(h['page'], h['faults'][0], h['at-least']) for h in found[:3]] == \
        [(99, 9, True), (0, 3, False), (1, 0, False)]
    # A list that is not full had all pages.
    found = sample.hot_pages(answer([(1, 7)]), answer([(1, 7), (2, 5)]))
    assert [(h['faults'][0], h['at-least']) for h in found] == \
        [(5, False), (0, False)]


class FakeHosts:
    """A node whose process is another one at the third look."""

    def __init__(self, file):
        self.nodes = {'local': file.nodes}
        self.looks = 0

    def each(self, make):
        if make(self.nodes['local'])['verb'] == 'queries':
            return {}, {}
        self.looks += 1
        count = self.looks if self.looks < 3 else self.looks - 2
        memory = {'resident-pages': 1, 'bytes-received': count,
                  'hot-pages': [{'page': 1, 'faults': count}],
                  **{f'{what}-{k}{unit}': count for k in sample.KINDS
                     for what, unit in (('wait', '-ns'), ('faults', ''))},
                  'sent-by-kind': dict.fromkeys(sample.BYTES, count),
                  'waits': {k: [count] for k in sample.KINDS}}
        info = {'formed': True, 'failed': False, 'node': 0, 'cpus': [],
                'nodes': [{'id': 0, 'state': 'self', 'home-bytes': 1}],
                'memory': memory}
        return {'local': {'nodes': {'0': {
            'state': 'running', 'status': 'running', 'info': info,
            'pid': 1 if self.looks < 3 else 2,
            'seconds': float(self.looks)}}}}, {}


def file_of(directory):
    node_of_file = SimpleNamespace(id=0, host='local', vcpus=1, address=None,
                                   vmi='tcg')
    return SimpleNamespace(path=directory / 'c.toml', guest={'memory': '1G'},
                           nodes=[node_of_file])


@named('static: report: a node that was started anew counts from there')
def test_restarted(tmp_path):
    file = file_of(tmp_path)
    sampler = sample.Sampler(file, FakeHosts(file))
    for _ in range(4):
        sampler.look()
    facts = sampler.result()
    assert [s[0] and s[0]['faults-read'] for s in facts['samples']] == \
        [1, None, 1]
    assert facts['waits'][0]['read'] == [1]
    assert facts['hot'][0]['faults'] == {0: 1}


# ------------------------------------------------------------ the pictures

def heights(picture, css):
    """Of the steps of one class, in the order of the picture."""
    found = []
    for path in picture.iter('path'):
        if path.get('class') == css:
            found += [float(low) - float(high) for low, high in re.findall(
                r'M\S+ (\S+?)V(\S+?)[Hh]', path.get('d'))]
    return found


@named('static: report: time lines of all nodes have one scale')
def test_scales():
    facts = made(looks=2)
    facts['samples'] = [[rates(1), rates(4), None], [rates(2), None, None]]
    picture = Page(html.page(facts)).pictures[0]
    tall = heights(picture, 'b-pages')
    assert len(tall) == 3
    # 1, 2 and 4 KiB/s; of 20 KiB/s, which is the most of all kinds together.
    assert tall == pytest.approx([charts.HEIGHT * n / 20 for n in (1, 2, 4)],
                                 abs=0.11)
    words = [t.text for t in picture.iter('text')]
    assert words.count('20 KiB') == 3 and words.count('100 %') == 3
    # One panel for each measure of the node without an answer, and half a one.
    none = heights(picture, 'none')
    assert none == pytest.approx([charts.HEIGHT] * 9, abs=0.11)


@named('static: report: parts are stacked, and stay in their panels')
def test_stacked():
    facts = made()
    for picture in Page(html.page(facts)).pictures[:2]:
        limit = float(picture.get('viewBox').split()[3])
        for path in picture.iter('path'):
            # Upper-case commands have absolute places.
            for y in re.findall(r'V(-?[\d.]+)', path.get('d')):
                assert 0 <= float(y) <= limit
    panel = charts.Panel(0, 0, 100, 2, 10)
    parts = list(charts.stacked(panel, [0, 1, 2], charts.MEASURES[1],
                                [rates(0.01)] * 2))
    edge = [re.findall(r'M\S+ (\S+?)V(\S+?)H', part) for part in parts]
    # The upper edge of one is the lower edge of the next.
    for below, above in zip(edge, edge[1:]):
        assert [high for _, high in below] == [low for low, _ in above]


@named('static: report: the time that most faults stay below')
def test_quantile():
    assert charts.quantile([0, 5, 4, 1], 0.5) == 2e-6
    assert charts.quantile([0, 5, 4, 1], 0.9) == 4e-6
    assert charts.quantile([0, 5, 4, 1], 0.99) == 8e-6
    assert charts.quantile([0, 0], 0.5) is None
    assert [charts.rough(charts.bucket_end(n)) for n in (0, 8, 10, 17, 22)] \
        == ['1 µs', '256 µs', '1 ms', '131 ms', '4.2 s']


@cases('show, wanted', {
    'static: report: a round scale': (units.rounded, {
        0: 1, 7: 10, 21: 25, 2: 2, 0.003: 0.005, 100: 100}),
    'static: report: bytes on a scale': (units.rounded_data, {
        1024: 1024, 3000: 5120, 1020 << 10: 1 << 20, 300 << 20: 500 << 20}),
    'static: report: bytes': (units.data, {
        0: '0 B', 1023: '1023 B', 1536: '1.5 KiB', 5 << 30: '5 GiB'}),
    'static: report: a time': (units.duration, {
        0: '0', 0.0042: '4.2 ms', 3e-7: '0.3 µs', 12: '12 s'}),
    'static: report: a number': (units.count, {
        0.25: '0.25', 9999: '9999', 12345: '12.3 k', 2.5e7: '25 M'})})
def test_units(show, wanted):
    assert {value: show(value) for value in wanted} == wanted


# ----------------------------------------------------------------- the map

def census(owned, shared, pages=1024):
    """Two cells, the second of which may be short."""
    return memory_map.Census({n: {
        'cell-bytes': 2 << 20, 'bytes': pages * 4096, 'homes': [0, 1],
        'owned': owned[n], 'shared': shared[n]} for n in owned})


@named('static: report: the map never has more pages than there are')
def test_census():
    # A page that moved has been counted on both nodes.
    found = census({0: [512, 0], 1: [10, 100]}, {0: [0, 30], 1: [0, 20]}, 640)
    assert found.owned(0) == {0: 512, 1: 0} and found.shared(0) == 0
    # 128 pages in the last cell.
    assert found.owned(1) == {0: 0, 1: 100} and found.shared(1) == 28
    assert list(found.totals()) == [(0, 2 << 20, 2 << 20, 120 << 10),
                                    (1, 512 << 10, 440 << 10, 80 << 10)]
    bars = memory_map.layers(found, range(2))
    assert bars['n0'] == [(0, 0, 1)]
    assert bars['shared'] == [(1, 100 / 128, 1)]
    assert memory_map.homes(found, range(2)) == [[0, 0, 1], [1, 1, 1]]


@named('static: report: a large guest has a map of bounded size')
def test_large():
    facts = made(cells=4096)
    text = html.page(facts)
    assert len(text) < 1 << 20
    rows = [g.find('title').text for g in Page(text).pictures[2].iter('g')]
    assert len(rows) == 32 and rows[1].startswith('from 256 MiB on: node 0 ')


@named('static: report: sixty-four nodes have colours of their own')
def test_colours():
    assert len({memory_map.colour(n, 64) for n in range(64)}) == 64
    assert len({memory_map.colour(n, 8) for n in range(8)}) == 8


# ------------------------------------------------------------------- names

@named('static: report: names of pages by a System.map')
def test_names(tmp_path):
    path = tmp_path / 'System.map'
    path.write_text(
        '0000000000000000 D fixed_percpu_data\n'
        f'{KERNEL + 0x1000000:x} T _text\n{KERNEL + 0x1000800:x} t helper\n'
        f'{KERNEL + 0x1001000:x} T _etext\n{KERNEL + 0x1002010:x} D jiffies\n'
        f'{KERNEL + 0x1004000:x} B _end\n')
    symbols = names.load(path)
    assert names.name(symbols, 0x1000) == 'kernel text: _text, helper'
    assert names.name(symbols, 0x1002) == 'kernel data: _etext, jiffies'
    assert names.name(symbols, 0x1004) is None
    assert names.name(symbols, 0x3) is None


@cases('size', {
    'static: report: a kernel that this cannot read is no System.map':
        (64 << 10,),
    'static: report: a kernel that ends in its header': (10,)})
def test_kernel(tmp_path, size):
    path = tmp_path / 'vmlinuz'
    path.write_bytes(bytes(0x202) + b'HdrS' + bytes(size))
    with pytest.raises(Problem):
        names.load(path)


@named('static: report: names are doubted where the kernel may have moved')
def test_doubt():
    assert 'nokaslr' not in Page(html.page(made())).text
    facts = made()
    facts['guest']['append'] = 'console=ttyS0'
    assert 'Names hold only if' in Page(html.page(facts)).text


@named('static: report: words of nodes are words')
def test_escaped():
    facts = made(nodes=[node(0, state='lost', reason='</p><b>'), node(1),
                        node(2, state='<i>')], name='<a & b>')
    assert 'lost' not in WELL
    read = Page(html.page(facts))
    assert '</p><b>' in read.text and '<a & b>' in read.text


# ---------------------------------------------------------------- the look

@cases('name, back, options', {
    'static: report: in a browser, light':
        ('report-light', (0xff, 0xff, 0xff), ()),
    'static: report: in a browser, dark':
        ('report-dark', (0x18, 0x18, 0x18),
         ('--blink-settings=preferredColorScheme=0',))})
def test_look(name, back, options):
    """Pictures stay in build/log."""
    if not browser():
        pytest.skip('needs a browser: apt-get install chromium')
    log = BUILD / 'log'
    log.mkdir(parents=True, exist_ok=True)
    page, picture = log / f'{name}.html', log / f'{name}.png'
    picture.unlink(missing_ok=True)
    page.write_text(html.page(made()), encoding='utf-8')
    screenshot(page, picture, *options)
    assert corner(picture) == back
    # A page of text alone has some dozens.
    assert colours_of(picture) > 200
