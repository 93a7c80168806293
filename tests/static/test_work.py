# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench of real work, without a guest: what it reads, and what it makes of
it."""

import json
import struct
import subprocess
import time
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from distkvm.cli import bench as cli
from distkvm.common import Problem
from distkvm.kernel import kallsyms
from distkvm.kernel.image import IMAGE_MAP
from distkvm.work import (bench, counters, guestmem, html, image, machine,
                          pagename, results, text, traces, workloads)
from naming import cases, named

BASE = 0xffffffff81000000
TOKENS = [bytes([n]) if 32 < n < 127 else b'' for n in range(256)]
TOKENS[1] = b'init_'
# Addresses by name; the types of all are D.
NAMES = {'run_queue': 0x40, 'init_task': BASE, 'tail': BASE + 0x5000}


def table(values, form):
    data = struct.pack(f'<{len(values)}{form}', *values)
    return data + bytes(-len(data) % 8)


def tables(names, marker=0):
    """kallsyms of a kernel, as its build makes them."""
    offsets = [a if a < BASE else BASE - 1 - a for a in names.values()]
    packed = b''
    for name in names:
        letters = b'D' + name.encode().replace(b'init_', b'\x01')
        packed += bytes([len(letters)]) + letters
    tokens = b''.join(t + b'\0' for t in TOKENS)
    places = [sum(len(t) + 1 for t in TOKENS[:n]) for n in range(256)]
    return (bytes(4096) + table(offsets, 'i') + struct.pack('<QQ', BASE,
            len(names)) + packed + bytes(-len(packed) % 8)
            + table([marker], 'I') + tokens + bytes(-len(tokens) % 8)
            + table(places, 'H'))


@named('static: work: symbols from a kernel')
def test_symbols():
    found = kallsyms.Symbols(kallsyms.symbols(tables(NAMES)))
    assert found.by_name == NAMES
    assert found.within(BASE + 0x1000, BASE + 0x2000) == ['init_task']
    assert found.within(BASE, BASE + 0x5001) == ['init_task', 'tail']


@cases('data', {
    'static: work: no kernel has no symbols': bytes(1 << 16),
    'static: work: tables that disagree are refused': tables(NAMES, marker=3),
})
def test_no_symbols(data):
    with pytest.raises(Problem):
        kallsyms.symbols(data)


# ------------------------------------------------------------ guest memory

DIRECT, STRUCTS = 0xffff888000000000, 0xffffea0000000000
SYMBOLS = {
    'run_queue': 0x40, '__per_cpu_end': 0x1000, '_text': BASE,
    'linux_banner': BASE, 'page_offset_base': BASE + 0x100,
    'vmemmap_base': BASE + 0x108, 'pcpu_unit_size': BASE + 0x110,
    'kmem_cache': BASE + 0x118, '__per_cpu_offset': BASE + 0x120,
    '_etext': BASE + 0x1000, 'init_top_pgt': BASE + 0x1000,
    'tick': BASE + 0x2000, '__init_begin': BASE + 0x3000,
    '__init_end': BASE + 0x4000, '_end': BASE + 0x5000}
# Physical addresses.
IMAGE = BASE - IMAGE_MAP
TABLES, UNITS, STRUCT_PAGE, CACHE = 0x10000, 0x40000, 0x20000, 0x30000
PAGES = {0x300: 'slab task_struct', 0x301: 'page table',
         0x302: 'memory of a program', 0x303: 'free', 0x304: 'page cache',
         0x305: 'slab task_struct', 0x306: 'reserved by firmware or at boot'}


def page_struct(flags=0, second=0, mapping=0, kind=0xffffffff, count=1):
    return struct.pack('<QQQQQQIi', flags, second, 0, mapping, 0, 0, kind,
                       count) + bytes(8)


def synthetic():
    """A guest's RAM with page tables, a slab, per-CPU areas, and the like."""
    ram = bytearray(0x2000000)

    def put(at, data):
        ram[at:at + len(data)] = data

    def word(name, *values):
        put(SYMBOLS[name] - IMAGE_MAP, table(values, 'Q'))

    put(IMAGE, b'Linux version 6.1')
    word('page_offset_base', DIRECT)
    word('vmemmap_base', STRUCTS)
    word('pcpu_unit_size', 0x8000)
    word('kmem_cache', DIRECT + CACHE)
    word('__per_cpu_offset', DIRECT + UNITS, DIRECT + UNITS + 0x8000)
    top = IMAGE + 0x1000
    # The direct map by a page of 1 GiB, structs of pages by small pages.
    put(top + 8 * (DIRECT >> 39 & 511), table([TABLES | 1], 'Q'))
    put(TABLES, table([0x81], 'Q'))
    put(top + 8 * (STRUCTS >> 39 & 511), table([TABLES + 0x1001], 'Q'))
    for level in (1, 2):
        put(TABLES + level * 0x1000, table([TABLES + level * 0x1000 + 0x1001],
                                           'Q'))
    first = 0x300 * 64 >> 12
    put(TABLES + 0x3000 + 8 * first, table([STRUCT_PAGE | 1], 'Q'))
    cache = DIRECT + CACHE
    put(CACHE + 96, table([cache + 0x200], 'Q'))
    put(CACHE + 0x200, b'kmem_cache\0')
    put(CACHE + 0x400 + 96, table([cache + 0x300], 'Q'))
    put(CACHE + 0x300, b'task_struct\0')
    for page, data in enumerate((
            page_struct(1 << 9, mapping=cache + 0x400)[:24]
            + table([cache + 0x400], 'Q') + bytes(32),
            page_struct(kind=0xffffffff & ~0x200),
            page_struct(mapping=DIRECT + 1, kind=0),
            page_struct(count=0), page_struct(mapping=DIRECT + 8),
            page_struct(second=STRUCTS + 0x300 * 64 + 1),
            page_struct(1 << 12))):
        put(STRUCT_PAGE + page * 64, data)
    return bytes(ram)


def kernel_of(ram):
    memory = guestmem.Memory(lambda at: ram[at:at + 4096])
    symbols = kallsyms.Symbols(sorted((a, 'D', n) for n, a in SYMBOLS.items()))
    return guestmem.Kernel(memory, symbols)


@named("static: work: names of a guest's pages")
def test_names():
    kernel = kernel_of(synthetic())
    assert kernel.fits()
    names = pagename.PageNames(kernel, cpus=2, pages=0x2000)
    assert {page: names.name(page) for page in PAGES} == PAGES
    assert names.name(UNITS + 0x8000 >> 12) == \
        'per-CPU area of CPU 1: run_queue'
    assert names.name(UNITS + 0x9000 >> 12) == \
        'per-CPU area of CPU 1, allocated'
    assert names.name(STRUCT_PAGE >> 12) == \
        'struct page of pages 0x300 to 0x33f'
    assert names.name(IMAGE + 0x2000 >> 12) == 'kernel data: tick'
    old = kernel.memory.read(IMAGE, 4096)
    new = old[:0x10a] + b'x' + old[0x10b:]
    changed = guestmem.changed_words([old, new, old])
    assert changed == [0x108]
    assert names.name(IMAGE >> 12, changed) == \
        'kernel text: vmemmap_base (changing)'
    assert 'kernel' not in names.name(IMAGE + 0x3000 >> 12)


@named('static: work: addresses that nothing maps')
def test_unmapped():
    kernel = kernel_of(synthetic())
    assert kernel.physical(STRUCTS) is None
    assert kernel.read(STRUCTS, 16) == bytes(16)
    assert kernel.physical(DIRECT + 0x12345) == 0x12345
    assert not kernel_of(synthetic().replace(b'Linux', b'linux')).fits()


# ------------------------------------------------------------------ traces

LINES = '''7@10.000100:distkvm_fault page 0x5 write 1 tid 71
7@10.000140:distkvm_fault page 0x5 write 0 tid 72
7@10.000200:distkvm_fetched page 0x5 write 1 remote 1 after 100000 ns
7@10.000300:distkvm_fault page 0x6 write 0 tid 72
7@10.000301:distkvm_fetched page 0x6 write 0 remote 0 after 900 ns
7@10.000350:distkvm_irq_send cpu 0 kind 0 vector 0xfd
7@10.000400:distkvm_fetched page 0x7 write 0 remote 1 after 50000 ns
7@10.000'''.splitlines()


@named('static: work: waits from traces')
def test_traces():
    waits, others = traces.parse(LINES)
    assert [(w.page, w.ns, w.thread) for w in waits] == \
        [(5, 100000, 71), (7, 50000, 0)]
    assert traces.until(waits, 10_000_300) == waits[:1]
    assert traces.by_thread(waits, {71: 'vCPU 0'}) == \
        pytest.approx({'vCPU 0': 1e-4, 'other threads': 5e-5})
    hot = traces.hottest([waits, waits], 1)
    assert (hot[0]['page'], hot[0]['reads'], hot[0]['writes']) == (5, 0, 2)
    assert hot[0]['seconds'] == pytest.approx(2e-4)
    line = traces.timeline([waits], [others], 10_000_000, 10_000_400)
    assert sum(line['waited'][0]) * line['bucket-ms'] == pytest.approx(0.15)
    assert sum(line['interrupts']) == 1 and sum(line['accesses']) == 0
    assert line['waited'][0][60] == pytest.approx(1)


# ------------------------------------------------------------------ ratios

def sample(kind, number, workload, **values):
    return {'kind': kind, 'round': number, 'workload': workload,
            'values': values}


@named('static: work: ratios of rounds')
def test_ratios():
    near, far = workloads.chosen('reads1m')
    samples = [sample(kind, number, w.name, rate=rate)
               for number, kind, w, rate in (
                   (1, 'plain', near, 100), (1, 'cluster', near, 50),
                   (2, 'plain', near, 100), (2, 'cluster', near, 80),
                   (3, 'cluster', near, 1), (1, 'cluster', far, 5),
                   (2, 'cluster', far, 8))]
    rows = results.rows(samples, [near, far])
    assert (rows[0]['ratio'], rows[0]['least'], rows[0]['greatest'],
            rows[0]['rounds']) == (0.65, 0.5, 0.8, 2)
    assert rows[1]['ratio'] is None
    assert results.distances(samples, [near, far])[0]['ratio'] == \
        pytest.approx(0.1)


def info(read, page_faults):
    return {'memory': {
        **{f'faults-{k}': read for k in counters.KINDS},
        **{f'wait-{k}-ns': read * 1000 for k in counters.KINDS},
        'frames-sent': read, 'bytes-sent': read,
        'hot-pages': [{'page': p, 'faults': f}
                      for p, f in page_faults.items()]}}


@named('static: work: counters of a workload')
def test_counters():
    node, = counters.changes([info(5, {1: 4})], [info(15, {1: 9, 2: 3})])
    assert node['hot-pages'] == {1: 5, 2: 3}
    assert counters.faults(node) == 30
    assert counters.waited(node) == pytest.approx(3e-5)
    assert counters.waits_per_mib([node], 10) == 3


# ------------------------------------------------------------------ report

class Outside(HTMLParser):
    """Counts elements; refuses anything that a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        assert not {'src', 'href', 'style'} & {name for name, _ in attrs}
        assert tag not in ('script', 'link', 'img', 'iframe')
        self.seen.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)


def report():
    waits, others = traces.parse(LINES)
    node, = counters.changes([info(5, {})], [info(15, {2: 3})])
    entry = {
        'workload': 'fio', 'status': 0, 'seconds': 1.0, 'nodes': [node],
        'threads': [{'vCPU 0': 1.0}], 'rates': {'interrupts': 3.0},
        'pages': [{**h, 'name': '<b>'} for h in traces.hottest([waits], 2)],
        'names': traces.by_name([waits], {5: '<script>'}),
        'timeline': traces.timeline([waits], [others], 10_000_000, 10_000_400)}
    chosen = workloads.chosen('fio')
    return {'nodes': 2, 'transport': 'posix', 'rounds': 1,
            'guest-numa-nodes': '0', 'distances': [], 'samples': [],
            'rows': results.rows([], chosen), 'traced': [entry],
            'boot-pages': [{'page': 1, 'faults': 2, 'name': '<i>'}],
            'problems': ['a < b']}


@named('static: work: the page fetches nothing')
def test_page():
    made = html.page(report())
    reader = Outside()
    reader.feed(made)
    assert reader.seen.count('svg') == 1
    assert '&lt;script&gt;' in made and '<script' not in made
    picture = ElementTree.fromstring(made[made.index('<svg'):
                                          made.index('</svg>') + 6])
    # Buckets of 2 us: waits of 100 us and 50 us, and an interrupt.
    bars = [r for r in picture.iter('rect') if r.get('class') != 'frame']
    assert len(bars) == 50 + 25 + 1
    assert 'url(' not in made and '@import' not in made


@named('static: work: what failed is said')
def test_text():
    shown = text.show(report())
    assert 'fio              has no ratio' in shown
    assert 'PROBLEM: a < b' in shown


# --------------------------------------------------------------------- run

class FakeMachine:
    """A guest whose workloads take no time; the cluster is half as fast."""

    init_seconds, boot_seconds, guest_uptime, numa = 1.0, 2.0, 1.5, '0-1'

    def __init__(self, kind, ends, log):
        self.kind, self.ends, self.log = kind, ends, log

    def __enter__(self):
        self.log.append(f'boot {self.kind}')
        return self

    def __exit__(self, *_):
        pass

    def infos(self):
        return [dict(info(len(self.log), {}),
                     nodes=[{}, {'transport': 'posix'}])] * 2

    def work(self, workload, ready, ended):
        ready()
        ended()
        self.log.append(f'{self.kind} {workload.name}')
        rate = 4 if self.kind == 'plain' else 2
        return self.ends(self.kind, machine.Outcome(
            0, 1.0, 1.0, {'rate': rate}))


def good(_, outcome):
    return outcome


def bad_on_cluster(kind, outcome):
    outcome.status = int(kind == 'cluster')
    return outcome


def late_clock(_, outcome):
    outcome.guest_seconds = 9.0
    return outcome


def gone(kind, outcome):
    if kind == 'plain':
        raise Problem('it is gone')
    return outcome


@cases('ends, problems, ratio', {
    'static: work: both sides alternate': (good, 0, 0.5),
    'static: work: a workload that fails has no ratio':
        (bad_on_cluster, 2, None),
    'static: work: clocks that disagree fail the run': (late_clock, 4, 0.5),
    'static: work: a lost guest fails the run': (gone, 2, None),
})
def test_run(ends, problems, ratio, monkeypatch):
    log = []
    run = bench.Run(SimpleNamespace(nodes=2, options=None, rounds=2,
                                    vcpu_percent=None, append='nohz=off',
                                    only='threads'))
    monkeypatch.setattr(run, 'machine',
                        lambda kind: FakeMachine(kind, ends, log))
    run.all()
    made = run.report()
    boots = [line for line in log if line.startswith('boot')]
    assert boots == ['boot plain', 'boot cluster'] * 2
    assert len(run.problems) == problems
    row, = [r for r in made['rows'] if r['workload'] == 'threads']
    assert row['ratio'] == ratio
    assert json.loads(json.dumps(made))['guest-numa-nodes'] == '0-1'
    assert ('PROBLEM' in text.show(made)) == bool(problems)
    assert "the guest's kernel has also: nohz=off" in text.show(made)


@cases('what', {
    'static: work: no round': 'work',
    'static: wake: no round': 'wake',
})
def test_rounds(what):
    with pytest.raises(Problem):
        cli.main(SimpleNamespace(what=what, rounds=0))


def interrupted(kind, outcome):
    if kind == 'cluster':
        raise KeyboardInterrupt
    return outcome


@named('static: work: an interrupted run reports what it has')
def test_interrupted(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(bench.image, 'disk', lambda: None)
    monkeypatch.setattr(bench.Run, 'machine', lambda _, kind: FakeMachine(
        kind, interrupted, []))
    out = tmp_path / 'out.json'
    assert bench.main(SimpleNamespace(
        nodes=2, options=None, rounds=1, only='threads', untraced=False,
        vcpu_percent=None, append='', json=out,
        html=tmp_path / 'out.html')) == 130
    assert [s['workload'] for s in json.loads(out.read_text())['samples']] == \
        ['boot', 'threads', 'boot']
    assert 'PROBLEM: the run was interrupted' in capsys.readouterr().out


# ------------------------------------------------------------------- guest

@named('static: work: every workload has its script')
def test_scripts():
    scripts = {p.name for p in image.SCRIPTS.iterdir()}
    for workload in workloads.ALL:
        assert f'{workload.script}.sh' in scripts
    names = [w.name for w in workloads.ALL]
    assert len(set(names)) == len(names)
    for path in image.SCRIPTS.glob('*.sh'):
        subprocess.run(['sh', '-n', path], check=True)
    with pytest.raises(Problem):
        workloads.chosen('no-such')
    assert workloads.chosen('boot') == []


GUEST = r'''
echo '[ 3.2] kernel says'
read -r order
echo "work: log: $order"
echo 'work: ready'
read -r go
echo 'work: ended'
sleep 0.3
echo 'work: value rate 12.5'
echo 'work: done 0 1.5'
cat >/dev/null
'''


# Programs of the guest, as far as these scripts call them.
PROGRAMS = {
    'nproc': 'echo 2',
    'taskset': 'export CPU="$2"; shift 2; exec "$@"',
    'numactl': 'export CPU="${1#*=}"; shift 2; exec "$@"',
    'runuser': '''while [ "$1" != -- ]; do shift; done
        shift
        case $1 in */pgbench) echo 'tps = 12.5' ;; *) exec "$@" ;; esac''',
    'psql': 'case "$3$4" in *"$BAD"*) exit 1 ;; *) echo 7 ;; esac',
    'sysbench': '[ "$CPU" != "$BAD" ] && echo "events per second: 5.5"',
    'ab': 'printf "Failed requests: 0\\n$BAD\\nRequests per second: 9 #\\n"',
    'stress-ng': 'echo "stress-ng: metrc: [1] cpu $BAD 8.0"',
}


def script(tmp_path, name, bad):
    """Status and values of a script whose programs go wrong there."""
    for program, text in PROGRAMS.items():
        path = tmp_path / program
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
    (tmp_path / 'lib.sh').write_text((image.SCRIPTS / 'lib.sh').read_text())
    status = subprocess.run(
        ['sh', image.SCRIPTS / name, 'work', '-', '-'], cwd=tmp_path,
        stdout=subprocess.DEVNULL, check=False,
        env={'PATH': f'{tmp_path}:/usr/bin:/bin', 'BAD': bad}).returncode
    values = tmp_path / 'values'
    return not status, values.read_text() if values.exists() else ''


@cases('name, bad, good, values', {
    'static: work: balances that agree':
        ('pgbench.sh', 'none', True, 'rate 12.5\n'),
    'static: work: a balance that cannot be read':
        ('pgbench.sh', 'tellers', False, 'rate 12.5\n'),
    'static: work: each CPU computes':
        ('pinned.sh', 'none', True, 'rate 11\n'),
    'static: work: a CPU that does not compute':
        ('pinned.sh', '1', False, ''),
    'static: work: a web server that sends its file':
        ('web.sh', '', True, 'rate 9\n'),
    'static: work: a web server that sends an error':
        ('web.sh', 'Non-2xx responses: 1', False, ''),
    'static: work: operations': ('stress.sh', '16', True, 'rate 2\n'),
    'static: work: no operations': ('stress.sh', 'x', False, ''),
})
def test_script(name, bad, good, values, tmp_path):
    assert script(tmp_path, name, bad) == (good, values)


@cases('guest_seconds, host_seconds, agree', {
    'static: work: clocks that agree': (100.0, 104.0, True),
    "static: work: a guest's clock that runs away": (100.0, 90.0, False),
    'static: work: a slow console is no other clock': (0.1, 0.9, True),
})
def test_clocks(guest_seconds, host_seconds, agree):
    outcome = machine.Outcome(0, guest_seconds, host_seconds)
    assert outcome.clocks_agree is agree


def conversation(tmp_path, says, look=lambda: None):
    """What the bench makes of a guest that runs this script."""
    guest = machine.Machine(tmp_path)
    guest.process = subprocess.Popen(
        ['sh', '-c', says], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    guest.console = machine.Console(guest.process)
    try:
        return guest.work(SimpleNamespace(request='fio - -', seconds=0), look,
                          look)
    finally:
        guest.process.kill()
        guest.process.communicate()


@cases('line', {
    'static: work: a value without a number': 'value rate ',
    'static: work: a value that is no number': 'value rate 12x',
    'static: work: an end without its time': 'done 0',
})
def test_malformed(line, tmp_path):
    # The run goes on with the next boot.
    with pytest.raises(Problem):
        conversation(tmp_path, f"echo 'work: {line}'; cat >/dev/null")


@named('static: work: a guest does as it is told')
def test_conversation(tmp_path):
    times = []
    started = time.monotonic()
    outcome = conversation(tmp_path, GUEST,
                           lambda: times.append(time.monotonic()))
    # The time that the guest takes to print values is not the workload's.
    assert len(times) == 2 and outcome.host_seconds <= times[1] - started
    assert outcome.log == ['fio - -'] and outcome.guest_seconds == 1.5
    assert outcome.values == {'rate': 12.5} and not outcome.status
