# SPDX-License-Identifier: GPL-2.0-or-later
"""The report of bench work as text."""

from . import counters


# Of the hottest pages of a workload.
PAGES = 10
# Rows of /proc/interrupts, as serve.sh names them.
INTERRUPTS = (('interrupts_res', 'wake-ups'), ('interrupts_cal', 'calls'),
              ('interrupts_tlb', 'TLB shootdowns'),
              ('interrupts_loc', 'timers'))


def number(value):
    """Three digits that count."""
    return f'{value:.0f}' if abs(value) >= 100 else f'{value:.3g}'


def limited(report):
    """How the vCPUs were held back, if they were."""
    percent = report.get('vcpu-percent')
    return (f'; each vCPU runs for {percent} % of the time, but not in the '
            'traced boot') if percent else ''


def parameters(report):
    words = report.get('append')
    return f"; the guest's kernel has also: {words}" if words else ''


def head(report):
    return [f"{report['nodes']} nodes x 1 vCPU over {report['transport']}, "
            f"against plain QEMU -smp {report['nodes']}, same build, same run; "
            f"{report['rounds']} rounds; NUMA nodes of the guest: "
            f"{report['guest-numa-nodes']}"
            + limited(report) + parameters(report)]


def table(rows):
    yield (f'{"workload":16} {"plain":>8} {"cluster":>8} {"unit":4} '
           f'{"ratio":>7} {"least":>7} {"greatest":>8}')
    for row in rows:
        if row['ratio'] is None:
            yield f"{row['workload']:16} has no ratio: a side failed, or did not run"
            continue
        yield (f"{row['workload']:16} {number(row['plain']):>8} "
               f"{number(row['cluster']):>8} {row['unit']:4} "
               f"{number(row['ratio']):>7} {number(row['least']):>7} "
               f"{number(row['greatest']):>8}  {row['about']}; "
               f"{'less' if row['less-is-better'] else 'more'} is better")


def distance_lines(report):
    for row in report['distances']:
        yield (f"{row['workload']}: on node 1's CPU against node 0's, same "
               f"boot: {number(row['ratio'])} ({row['unit']})")


def waiting(sample):
    """Lines on where one sample of the cluster waited."""
    nodes, seconds = sample['nodes'], sample['host-seconds']
    kinds = ', '.join(
        f"{kind} {k['faults']} ({k['seconds']:.2f} s, "
        f"{k['seconds'] * 1e6 / max(k['faults'], 1):.0f} us each)"
        for kind, k in counters.by_kind(nodes).items())
    yield f"{sample['workload']}, {seconds:.1f} s: faults: {kinds}"
    yield '  waiting: ' + ', '.join(
        f'node {n} {counters.waited(node) / seconds:.0%}'
        for n, node in enumerate(nodes)) + (
        f"; frames {sum(n['frames-sent'] for n in nodes) / seconds:.0f}/s, "
        f"{sum(n['bytes-sent'] for n in nodes) / seconds / (1 << 20):.1f} "
        'MiB/s')
    rates = [f"{label} {sample['values'][key] / seconds:.0f}/s"
             for key, label in INTERRUPTS if key in sample['values']]
    if rates:
        yield f"  the guest's interrupts: {', '.join(rates)}"
    if 'mib' in sample['values']:
        waits = counters.waits_per_mib(nodes, sample['values']['mib'])
        yield f'  waits per MiB: {waits:.1f}'


def named(entry):
    """Lines on what a traced workload waited for."""
    yield (f"{entry['workload']}, traced, {entry['seconds']:.1f} s: " + ', '.join(
        f'{kind} {rate:.0f}/s' for kind, rate in entry['rates'].items()))
    yield '  ' + '; '.join(
        f'node {n}: ' + ', '.join(f'{thread} {seconds:.2f} s'
                                  for thread, seconds in threads.items())
        for n, threads in enumerate(entry['threads']))
    for page in entry['pages'][:PAGES]:
        yield (f"  {page['seconds']:7.2f} s {page['reads']:6} reads "
               f"{page['writes']:6} writes  {page['page']:#x} {page['name']}")


def show(report):
    lines = [*head(report), *table(report['rows']), *distance_lines(report)]
    last = max((s['round'] for s in report['samples']), default=0)
    lines.append(f'where round {last} of the cluster waited:')
    for sample in report['samples']:
        if sample['nodes'] and sample['round'] == last:
            lines += waiting(sample)
    if report['boot-pages']:
        lines.append('hottest pages of a boot, by faults:')
    for page in report['boot-pages'][:PAGES]:
        lines.append(f"  {page['faults']:7}  {page['page']:#x} {page['name']}")
    for entry in report['traced']:
        lines += named(entry)
    lines += [f'PROBLEM: {problem}' for problem in report['problems']]
    return '\n'.join(lines) + '\n'
