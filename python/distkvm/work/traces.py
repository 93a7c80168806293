# SPDX-License-Identifier: GPL-2.0-or-later
"""Waiting of one node for pages, from its trace events, and what else it did.

A wait ends with distkvm_fetched, which has the time; its distkvm_fault names the
thread.  Nodes share this host's clock, so that their lines have one time."""

import re
from collections import Counter, defaultdict
from dataclasses import dataclass

# Of a page, of an interrupt to a CPU elsewhere, of a device's register elsewhere.
EVENTS = ('distkvm_fault', 'distkvm_fetched', 'distkvm_irq_send',
          'distkvm_io_send')
COUNTED = {'distkvm_irq_send': 'interrupts', 'distkvm_io_send': 'accesses'}
LINE = re.compile(r'\d+@(\d+)\.(\d+):(distkvm_\w+) (.*)')
FAULT = re.compile(r'page 0x([0-9a-f]+) write ([01]) tid (\d+)')
FETCHED = re.compile(r'page 0x([0-9a-f]+) write ([01]) remote ([01]) after '
                     r'(\d+) ns')
BUCKETS = 200


@dataclass
class Wait:
    """A fault that needed another node; its end in us of the host's clock."""
    end_us: int
    ns: int
    page: int
    write: bool
    thread: int


def parse(lines):
    """Waits, and times in us of the other events by kind."""
    waits, others, threads = [], defaultdict(list), {}
    for line in lines:
        match = LINE.match(line)
        if not match:
            continue
        time_us = int(match[1]) * 1_000_000 + int(match[2])
        event, text = match[3], match[4]
        if event in COUNTED:
            others[COUNTED[event]].append(time_us)
            continue
        fault, fetched = FAULT.match(text), FETCHED.match(text)
        if event == 'distkvm_fault' and fault:
            # The first thread waits longest.
            threads.setdefault(int(fault[1], 16), int(fault[3]))
        elif event == 'distkvm_fetched' and fetched:
            page = int(fetched[1], 16)
            thread = threads.pop(page, 0)
            if fetched[3] == '1':
                waits.append(Wait(time_us, int(fetched[4]), page,
                                  fetched[2] == '1', thread))
    return waits, others


def until(waits, end_us):
    """Waits that ended by then: traces go on for a little after a workload."""
    return [wait for wait in waits if wait.end_us <= end_us]


def by_thread(waits, vcpus):
    """Seconds by name; vcpus has the names of threads that are vCPUs."""
    seconds = Counter()
    for wait in waits:
        seconds[vcpus.get(wait.thread, 'other threads')] += wait.ns / 1e9
    return dict(seconds)


def hottest(nodes, count):
    """Of the waits of all nodes, the pages with most waiting: page, faults to
    read, faults to write, seconds."""
    found = defaultdict(lambda: [0, 0, 0.0])
    for waits in nodes:
        for wait in waits:
            entry = found[wait.page]
            entry[wait.write] += 1
            entry[2] += wait.ns / 1e9
    pages = sorted(found.items(), key=lambda item: -item[1][2])[:count]
    return [{'page': page, 'reads': reads, 'writes': writes,
             'seconds': seconds} for page, (reads, writes, seconds) in pages]


def by_name(nodes, names):
    """Seconds and faults by name of page, most seconds first."""
    seconds, faults = Counter(), Counter()
    for waits in nodes:
        for wait in waits:
            name = names.get(wait.page, 'pages with less waiting')
            seconds[name] += wait.ns / 1e9
            faults[name] += 1
    return [{'name': name, 'seconds': value, 'faults': faults[name]}
            for name, value in seconds.most_common()]


def timeline(nodes, others, start_us, end_us):
    """For each node the share of each bucket that was waited, and events by
    kind; a wait counts where it lasted, not where it ended."""
    width = max((end_us - start_us) / BUCKETS, 1)
    waited = [[0.0] * BUCKETS for _ in nodes]
    for node, waits in enumerate(nodes):
        for wait in waits:
            spread(waited[node], (wait.end_us - wait.ns / 1e3 - start_us) / width,
                   (wait.end_us - start_us) / width)
    counts = {kind: [0] * BUCKETS for kind in COUNTED.values()}
    for events in others:
        for kind, times in events.items():
            for time_us in times:
                bucket = int((time_us - start_us) / width)
                if 0 <= bucket < BUCKETS:
                    counts[kind][bucket] += 1
    return {'bucket-ms': width / 1e3, 'waited': waited, **counts}


def spread(buckets, start, end):
    """Add the length of a stretch to the buckets that it covers."""
    for bucket in range(max(int(start), 0), min(int(end) + 1, len(buckets))):
        buckets[bucket] += max(min(end, bucket + 1) - max(start, bucket), 0)
