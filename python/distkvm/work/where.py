# SPDX-License-Identifier: GPL-2.0-or-later
"""One more boot of the cluster, traced: the pages that its workloads waited for,
by the names of the guest's kernel, and when.

Traces cost time, so that no ratio comes from this boot."""

import contextlib
import threading
import time
from collections import Counter

from .. import guests
from ..common import Problem, parse_size, say
from ..kernel import kallsyms
from ..kernel.image import PAGE
from . import counters, machine, traces
from .guestmem import Kernel, Memory, Qemu, changed_words
from .pagename import PageNames

# Pages of a workload that are listed, and those that have names.
PAGES, NAMED = 40, 400
# Names are read while the workload runs, since its memory is freed after it.
NAMED_AFTER = 0.6
# A page is read so often, to see which words of it change.
SAMPLES, SAMPLE_SECONDS = 4, 0.1
UNKNOWN = 'not read'


def traced_args(log_dir):
    """An event that is rare lets QMP enable others later."""
    return lambda node: ['-msg', 'timestamp=on', '-d', 'trace:distkvm_view',
                         '-D', str(log_dir / f'trace-{node}')]


class Tracer:
    """The traces of all nodes, workload by workload."""

    def __init__(self, cluster, log_dir):
        self.cluster = cluster
        self.nodes = range(cluster.shape.nodes)
        self.files = [log_dir / f'trace-{n}' for n in self.nodes]
        self.start = [0] * cluster.shape.nodes

    def switch(self, enable):
        for node in self.nodes:
            for event in traces.EVENTS:
                self.cluster.qmp(node).execute('trace-event-set-state',
                                               name=event, enable=enable)

    def begin(self):
        self.start = [f.stat().st_size for f in self.files]
        self.switch(True)

    def read(self):
        """Of each node, what parse() finds in its lines since begin()."""
        found = []
        for file, start in zip(self.files, self.start):
            with open(file, encoding='utf-8', errors='replace') as lines:
                lines.seek(start)
                found.append(traces.parse(lines))
        return found

    def threads(self):
        """Names of the threads that are vCPUs, by node."""
        return [{cpu['thread-id']: f"vCPU {cpu['cpu-index']}"
                 for cpu in self.cluster.qmp(node).execute('query-cpus-fast')}
                for node in self.nodes]


class Namer:
    """Names of pages of the running guest; those of a page are kept."""

    def __init__(self, cluster, symbols, log_dir):
        self.memory = Memory(Qemu(cluster.qmp(0), log_dir / 'page',
                                  parse_size(machine.MEMORY)).read_page)
        self.kernel = Kernel(self.memory, symbols)
        self.cpus = cluster.shape.nodes
        if not self.kernel.fits():
            raise Problem("the guest's memory holds another kernel than the "
                          'one whose symbols were read')

    def names(self, pages, samples=1):
        """With several samples, of the kernel's variables in a page only those
        that change between them."""
        contents = {page: [bytes(PAGE)] for page in pages}
        self.memory.forget()
        if samples > 1:
            contents = self.sampled(pages, samples)
        name = PageNames(self.kernel, self.cpus,
                         parse_size(machine.MEMORY) // PAGE)
        return {page: name.name(page, changed_words(contents[page]))
                for page in pages}

    def sampled(self, pages, samples):
        """Contents of pages, so often."""
        contents = {page: [] for page in pages}
        for number in range(samples):
            time.sleep(SAMPLE_SECONDS if number else 0)
            self.memory.forget()
            for page in pages:
                contents[page].append(self.memory.read(page * PAGE, PAGE))
        return contents


def name_later(seconds, tracer, namer, names, done):
    """While a workload runs: names of the pages hottest until then."""
    if done.wait(seconds):
        return
    # A lost node is reported by the thread that listens to the guest.
    with contextlib.suppress(OSError, Problem):
        read_names(tracer, namer, names)


def read_names(tracer, namer, names):
    """The hottest first: the workload may end meanwhile."""
    waits = [waits for waits, _ in tracer.read()]
    hot = [h['page'] for h in traces.hottest(waits, NAMED)]
    names.update(namer.names(hot[:PAGES], SAMPLES))
    names.update(namer.names(hot[PAGES:]))


def measured(guest, tracer, namer, workload, expected):
    """One workload, traced."""
    names, infos, times = {}, [], []
    done = threading.Event()
    late = threading.Thread(target=name_later, args=(
        expected * NAMED_AFTER, tracer, namer, names, done), daemon=True)

    def ready():
        infos.append(guest.infos())
        tracer.begin()
        times.append(time.time_ns() // 1000)
        late.start()

    def ended():
        times.append(time.time_ns() // 1000)
        done.set()
        late.join()
        tracer.switch(False)
        infos.append(guest.infos())

    outcome = guest.work(workload, ready, ended)
    if len(infos) < 2:
        return None
    found = [(traces.until(waits, times[1]), others)
             for waits, others in tracer.read()]
    hot = traces.hottest([w for w, _ in found], NAMED)
    names.update(namer.names([h['page'] for h in hot if h['page'] not in names]))
    return summary(workload, outcome, found, names, tracer.threads(), times,
                   counters.changes(*infos))


def summary(workload, outcome, found, names, threads, span, nodes):
    waits = [w for w, _ in found]
    seconds = (span[1] - span[0]) / 1e6
    hot = traces.hottest(waits, PAGES)
    return {
        'workload': workload.name, 'status': outcome.status,
        'seconds': seconds, 'nodes': nodes,
        'threads': [traces.by_thread(w, t) for w, t in zip(waits, threads)],
        'rates': {kind: sum(len(o[kind]) for _, o in found) / seconds
                  for kind in traces.COUNTED.values()},
        'pages': [{**h, 'name': names.get(h['page'], UNKNOWN)} for h in hot],
        'names': traces.by_name(waits, names),
        'timeline': traces.timeline(waits, [o for _, o in found], *span)}


def hottest_of_boot(infos, namer):
    """The hottest pages since the start, by the counters of all nodes."""
    faults = Counter()
    for node in counters.since_start(infos):
        faults.update(node['hot-pages'])
    hot = faults.most_common(PAGES)
    names = namer.names([page for page, _ in hot], SAMPLES)
    return [{'page': page, 'faults': count, 'name': names[page]}
            for page, count in hot]


class Traced:
    """Results of the traced boot, as far as it has come."""

    def __init__(self, nodes, options, log_dir, append=''):
        self.nodes, self.options, self.log_dir = nodes, options, log_dir
        self.append = append
        self.boot_pages, self.workloads = [], []

    def run(self, chosen, expected):
        """Expected has seconds of workloads by their names."""
        symbols = kallsyms.of_kernel(guests.vmlinuz())
        self.remove_files()
        say(f'booting {self.nodes} nodes once more, to be traced')
        made = machine.ClusterMachine(self.log_dir, self.nodes, self.options,
                                      traced_args(self.log_dir))
        made.parameters(self.append)
        with made as guest:
            tracer = Tracer(guest.nodes, self.log_dir)
            namer = Namer(guest.nodes, symbols, self.log_dir)
            self.boot_pages = hottest_of_boot(guest.infos(), namer)
            for workload in chosen:
                found = measured(guest, tracer, namer, workload,
                                 expected.get(workload.name, 1))
                if found:
                    self.workloads.append(found)
                say(f'traced: {workload.name}')
        self.remove_files()

    def remove_files(self):
        """Traces take many MiB."""
        for file in (*self.log_dir.glob('trace-*'), self.log_dir / 'page'):
            file.unlink(missing_ok=True)
