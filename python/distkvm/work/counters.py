# SPDX-License-Identifier: GPL-2.0-or-later
"""How query-distkvm's counters of all nodes changed during a workload.

A node has one vCPU here, so the waiting of a node is that of its vCPU, and on
node 0 that of its devices besides."""

KINDS = ('read', 'write', 'upgrade')


def since_start(infos):
    """For each node the counters of its memory, and faults of its hot pages."""
    return [{**{key: value for key, value in info['memory'].items()
                if isinstance(value, int)},
             'hot-pages': {hot['page']: hot['faults']
                           for hot in info['memory']['hot-pages']}}
            for info in infos]


def changes(before, after):
    """The same between two moments.

    A node names its twenty hottest pages since its start only: one that was not
    among them before counts from 0."""
    result = []
    for old, new in zip(since_start(before), since_start(after)):
        hot = {page: count - old['hot-pages'].get(page, 0)
               for page, count in new.pop('hot-pages').items()}
        result.append({**{key: value - old[key] for key, value in new.items()},
                       'hot-pages': hot})
    return result


def faults(node):
    """Faults of a node that needed another one."""
    return sum(node[f'faults-{kind}'] for kind in KINDS)


def waited(node):
    """Seconds that threads of a node waited for pages."""
    return sum(node[f'wait-{kind}-ns'] for kind in KINDS) / 1e9


def by_kind(nodes):
    """By kind, the number of faults and the seconds waited."""
    return {kind: {'faults': sum(n[f'faults-{kind}'] for n in nodes),
                   'seconds': sum(n[f'wait-{kind}-ns'] for n in nodes) / 1e9}
            for kind in KINDS}


def waits_per_mib(nodes, mib):
    """Faults for each MiB that a workload has read."""
    return sum(map(faults, nodes)) / mib
