# SPDX-License-Identifier: GPL-2.0-or-later
"""Ratios of a cluster to plain QEMU, from samples of a run.

A sample is {"kind": "plain" or "cluster", "round", "workload", "values"}.  Only
samples of workloads that ended well have values."""

from statistics import median

from .workloads import UNITS

# The two places whose ratio within one boot says what a node's distance costs.
NEAR, FAR = '-node0', '-node1'


def of(samples, kind, workload, value):
    """Values by round."""
    return {s['round']: s['values'][value] for s in samples
            if s['kind'] == kind and s['workload'] == workload
            and value in s['values']}


def ratio(plain, cluster):
    """Medians, and of the ratios of each round the least and greatest."""
    pairs = [cluster[n] / plain[n] for n in cluster
             if n in plain and plain[n]]
    if not pairs:
        return None
    return {'plain': median(plain.values()),
            'cluster': median(cluster.values()),
            'ratio': median(pairs), 'least': min(pairs),
            'greatest': max(pairs), 'rounds': len(pairs)}


def rows(samples, workloads):
    """A row for each value of each workload; its ratio is None if one of both
    sides has no value."""
    result = []
    for workload in workloads:
        for value in workload.values:
            unit, less = UNITS[value]
            found = ratio(of(samples, 'plain', workload.name, value),
                          of(samples, 'cluster', workload.name, value))
            about = workload.about if value in ('seconds', 'rate') else \
                f'{workload.about}: {value}'
            result.append({'workload': workload.name, 'about': about,
                           'value': value, 'unit': unit, 'less-is-better': less,
                           **(found or {'ratio': None})})
    return result


def distances(samples, workloads):
    """Node 1's CPU against node 0's in the same boot of the cluster."""
    result = []
    names = {w.name for w in workloads}
    for workload in workloads:
        if not workload.name.endswith(FAR):
            continue
        near = workload.name.removesuffix(FAR) + NEAR
        for value in workload.values if near in names else ():
            found = ratio(of(samples, 'cluster', near, value),
                          of(samples, 'cluster', workload.name, value))
            if found:
                result.append({'workload': workload.script, 'value': value,
                               'unit': UNITS[value][0],
                               'ratio': found['ratio']})
    return result
