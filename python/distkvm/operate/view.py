# SPDX-License-Identifier: GPL-2.0-or-later
"""What the nodes of a cluster say of themselves, as rows to be shown."""

from ..cluster_file import LOCAL

PAGE = 4096
# States of a row in which a node does its work, or soon will.
WELL = {'running', 'joining'}


def observe(hosts):
    """By number of a node: what its host knows of it (host.node_status), or
    the state `unreachable`."""
    answers, errors = hosts.each(lambda nodes: {
        'verb': 'status', 'nodes': [n.id for n in nodes]})
    seen = {}
    for key, nodes in hosts.nodes.items():
        for node in nodes:
            seen[node.id] = answers[key]['nodes'][str(node.id)] \
                if key in answers else \
                {'state': 'unreachable', 'problem': errors[key]}
    return seen


def how_ended(found):
    """Words for the end of a node."""
    status = found.get('exit')
    if status is None and found.get('booted'):
        return 'ended with its host, which has been booted since'
    if status is None:
        return 'ended, its exit status is not known'
    if status == 0:
        return 'ended in good order'
    if status < 0:
        return f'ended with signal {-status}'
    words = found.get('words')
    return f'ended with exit status {status}' + \
        (f': {words[0]}' if words else '')


def joined(found):
    """Number of the nodes that a node counts as members."""
    info = found.get('info')
    return sum(n['state'] in ('self', 'joined') for n in info['nodes']) \
        if info else 0


def state_of(found):
    """One word, and a reason if there is trouble."""
    state, info = found['state'], found.get('info')
    if state == 'ended':
        return 'ended', how_ended(found)
    if state == 'absent':
        return 'absent', ''
    if state == 'unreachable':
        return state, found['problem']
    if not info:
        return 'silent', found['problem']
    if info['failed']:
        return 'lost', (f"node {info.get('lost-node', '?')} is lost: "
                        f"{info.get('lost-reason', 'no reason is known')}")
    return (found['status'] if info['formed'] else 'joining'), ''


def row(node, found, total):
    """A node, by names that --json has, too."""
    state, reason = state_of(found)
    info = found.get('info')
    about = info and next(n for n in info['nodes'] if n['id'] == node.id)
    return {
        'node': node.id,
        'host': 'this host' if node.host == LOCAL else node.host,
        'pid': found.get('pid'), 'state': state,
        'exit': found.get('exit'), 'vcpus': node.vcpus,
        'memory': about['home-bytes'] if info else None,
        'held': info['memory']['resident-pages'] * PAGE if info else None,
        'joined': joined(found) if info else None, 'nodes': total,
        'reason': reason}


def rows(file, seen):
    return [row(n, seen[n.id], len(file.nodes)) for n in file.nodes]


def size(count):
    """Bytes, in the largest unit that leaves a number of three digits."""
    for unit in ('B', 'K', 'M', 'G'):
        if count < 1000:
            break
        count /= 1024
    else:
        unit = 'T'
    text = f'{count:.1f}' if count < 10 and unit != 'B' else f'{count:.0f}'
    return text.removesuffix('.0') + unit


def table(head, lines):
    """Columns as wide as their widest text; numbers are on the right."""
    texts = [[('-' if v is None else str(v)) for v in line] for line in lines]
    widths = [max(len(t[n]) for t in [head, *texts])
              for n in range(len(head))]
    right = [bool(lines) and all(isinstance(line[n], (int, float, type(None)))
                                 for line in lines)
             for n in range(len(head))]
    return '\n'.join('  '.join(
        text.rjust(w) if r else text.ljust(w)
        for text, w, r in zip(line, widths, right)).rstrip()
        for line in [head, *texts])


STATUS_HEAD = ['NODE', 'HOST', 'PID', 'STATE', 'VCPUS', 'MEMORY', 'HELD',
               'JOINED', 'REASON']


def status_table(found):
    return table(STATUS_HEAD, [
        [r['node'], r['host'], r['pid'], r['state'], r['vcpus'],
         None if r['memory'] is None else size(r['memory']),
         None if r['held'] is None else size(r['held']),
         None if r['joined'] is None else f"{r['joined']} of {r['nodes']}",
         r['reason']] for r in found])


# ---------------------------------------------------------------- rates

FAULTS = ('read', 'write', 'upgrade')
SECOND_NS = 1e9


def counters(found):
    """Those of a node's counters that rates are made of."""
    memory = found['info']['memory']
    cpus = found['info']['cpus']
    return {
        'executed-ms': sum(c['executed-ms'] for c in cpus
                           if c['node'] == found['info']['node']),
        'wait-ns': sum(memory[f'wait-{kind}-ns'] for kind in FAULTS),
        'pages-sent': memory['pages-sent'],
        'revocations': memory['revocations'],
        'bytes-sent': memory['bytes-sent'],
        'bytes-received': memory['bytes-received'],
        **{f'faults-{kind}': memory[f'faults-{kind}'] for kind in FAULTS}}


def per_second(take, before, after):
    """Changes for each second of the counters that take(found) gives; None
    where a node says nothing, or is another process than before."""
    if not before or not after or 'info' not in before or \
            'info' not in after or before['pid'] != after['pid']:
        return None
    old, new = take(before), take(after)
    seconds = after['seconds'] - before['seconds']
    if seconds <= 0:
        return None
    return {key: max(0, new[key] - old[key]) / seconds for key in new}


def rates(node, before, after):
    """Rates that `top` shows; None as in per_second()."""
    each = per_second(counters, before, after)
    if each is None:
        return None
    vcpus = max(1, node.vcpus)
    return {
        # Per cent of the time of this node's vCPUs.
        'executing': each['executed-ms'] / 10 / vcpus,
        'waiting': each['wait-ns'] / SECOND_NS * 100 / vcpus,
        **{key: each[key] for key in (
            'faults-read', 'faults-write', 'faults-upgrade', 'pages-sent',
            'revocations', 'bytes-sent', 'bytes-received')}}


TOP_HEAD = ['NODE', 'STATE', 'VCPUS', 'RUN%', 'WAIT%', 'READ/s', 'WRITE/s',
            'UPGRADE/s', 'SENT/s', 'TAKEN/s', 'OUT/s', 'IN/s', 'HELD']


def top_row(node, before, after):
    """A node with its rates, by names that --json has, too."""
    state, reason = state_of(after)
    info = after.get('info')
    return {'node': node.id, 'state': state, 'reason': reason,
            'vcpus': node.vcpus,
            'held': info['memory']['resident-pages'] * PAGE if info else None,
            'rates': rates(node, before, after)}


def top_table(found):
    lines = []
    for r in found:
        each = r['rates']
        shown = [None] * 9 if not each else [
            *(round(each[k]) for k in (
                'executing', 'waiting', 'faults-read', 'faults-write',
                'faults-upgrade', 'pages-sent', 'revocations')),
            size(each['bytes-sent']), size(each['bytes-received'])]
        lines.append([r['node'], r['state'], r['vcpus'], *shown,
                      None if r['held'] is None else size(r['held'])])
    return table(TOP_HEAD, lines)
