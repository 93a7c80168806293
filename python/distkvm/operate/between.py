# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors of a cluster file that its hosts make only together, or all alike: their
clocks, and the way frames travel."""

from .lifecycle import tool

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


def renewing(file):
    """A remedy for keys."""
    own = ', or sign certificates with your own authority (docs/security.rst)' \
        if file.credentials == 'x509' else ''
    return f'run {tool("keys --renew", file)}{own}'


def completing(file):
    """A remedy for keys of which a file is missing, or is a link to none: another
    authority may have signed the others."""
    if file.credentials == 'psk':
        return f'put your key there, or run {tool("keys --renew", file)}'
    return 'add the missing files of your own authority (docs/security.rst), ' \
        f'or run {tool("keys --renew", file)}, which replaces all and keeps ' \
        'no copy'


def trusts(one, other):
    """Whether nodes with some keys let in nodes with others."""
    return all(set(each) & set(one['marks']) for each in other['own'])


def distrust(file, here, there):
    """Of two places with keys that are fit each: why nodes of one do not let in
    those of the other, or None."""
    (found, _, _), (others, host, node) = here, there
    place = f'{node.keys} on {host}'
    if not trusts(found, others):
        return f'has no key in common with {place}' \
            if file.credentials == 'psk' else \
            f'has no authority that signed the certificates in {place}'
    return None if trusts(others, found) else \
        f'has certificates of no authority that is in {place}'


def keys(check, hosts):
    """Keys that are fit each, and do not let their nodes in at each other."""
    places = []
    for key, facts in check.facts.items():
        of_directories = {n.keys: n for n in reversed(hosts.nodes[key])}
        for directory, node in of_directories.items():
            found = (facts['proofs'] or {}).get(directory, {})
            if 'marks' in found:
                places.append((found, facts['host'], node))
    for number, here in enumerate(places):
        _, host, node = here
        why = next(filter(None, (distrust(check.file, here, there)
                                 for there in places[:number])), None)
        if why:
            check.node(node, 'keys', (f'{node.keys} on {host} {why}',
                                      renewing(check.file)))
