# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors of a cluster file that its hosts make only together, or all alike: their
clocks, and the way frames travel."""

# Clocks that are closer cause no trouble.
APART_SECONDS = 2


def needs_ucx(file):
    """Whether nodes do not start without UCX."""
    return file.cluster.get('transport') in ('ucx', 'shm')


def transport(check, facts):
    """Whether the transport of the file is to be had on a host."""
    library, segments = facts['ucx']
    shm = check.file.cluster.get('transport') == 'shm'
    reason = library or (segments if shm else None)
    if reason:
        check.add(('cluster', 0, 'transport'),
                  f'on {facts["host"]}: {reason[0]}', reason[1])


def offset(facts):
    """By how many seconds a host's clock is ahead of this one's, at least and
    at most.

    It took its first time after the question had left, and its last one before
    the answer was here."""
    first, last = facts['time']
    asked, answered = facts['between']
    return last - answered, first - asked


def clocks(check, hosts):
    """Clocks that differ, however long answers took: only a warning, since
    guest time does not follow them."""
    reference = None
    for key, facts in check.facts.items():
        least, most = offset(facts)
        if reference is None:
            reference = least, most, facts['host']
            continue
        ahead, behind = least - reference[1], reference[0] - most
        apart = max(ahead, behind)
        if apart < APART_SECONDS:
            continue
        why = 'certificates may not be valid yet, or any more, and ' \
            if check.file.credentials == 'x509' else ''
        check.warnings.append(check.file.node_error(
            hosts.nodes[key][0], 'host', f'the clock of {facts["host"]} is at '
            f'least {apart:.0f} s {"ahead of" if ahead > 0 else "behind"} '
            f'that of {reference[2]}: {why}logs cannot be compared',
            'run there: timedatectl set-ntp true'))


def keys(check, hosts):
    """Keys that are fit each, and do not let their nodes in at each other."""
    first = None
    for key, facts in check.facts.items():
        of_directories = {n.keys: n for n in reversed(hosts.nodes[key])}
        for directory, node in of_directories.items():
            marks = (facts['proofs'] or {}).get(directory, {}).get('marks')
            if not marks:
                continue
            first = first or (set(marks), facts['host'], node)
            if not first[0] & set(marks):
                kind = 'no key in common' if check.file.credentials == 'psk' else \
                    'no authority in common'
                check.node(node, 'keys', (
                    f'{node.keys} on {facts["host"]} has {kind} with '
                    f'{first[2].keys} on {first[1]}',
                    f'run distkvm keys --renew {check.file.path}'))
