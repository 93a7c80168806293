# SPDX-License-Identifier: GPL-2.0-or-later
"""Start all nodes of a cluster file, and end them."""

import secrets
import shlex
import time

from .. import cluster_command
from ..cluster_file import LOCAL
from ..common import CALL, Problem, say
from .remote import place as where
from .state import State
from .view import how_ended, joined, observe, state_of

LOOK_SECONDS = 0.5
# Nodes give up by themselves after join-timeout; then they get this long.
JOIN_SECONDS = 120
GRACE_SECONDS = 60
# From the joining of the last node until the guest runs.
RUN_SECONDS = 20
# From the last answer of a host.
UNREACHABLE_SECONDS = 30
# From quit until SIGTERM, from SIGTERM until SIGKILL, and from then on.
QUIT_SECONDS, TERM_SECONDS, KILL_SECONDS = 10, 5, 10
# Of a run's name, which is twice as many digits.
RUN_BYTES = 8
# States of a guest that would come back to life.
HALTED = {'paused', 'suspended', 'io-error'}


class Failed(Problem):
    """Nodes that did not start; all that was started has been ended."""


def tool(verb, file):
    """A command to show."""
    return f'{CALL} {verb} {shlex.quote(str(file.path))}'


def place(node):
    return '' if node.host == LOCAL else f' on {node.host}'


def describe_end(node, found):
    words = '\n  '.join(found.get('words') or ())
    how = how_ended({**found, 'words': None})
    return f'node {node.id}{place(node)} {how}' + \
        (f':\n  {words}' if words else '')


# -------------------------------------------------------------------- up

def check_absent(file, facts):
    """No node runs, of this file in any case."""
    running = sorted({n for f in facts.values() for n in f['running']})
    if running:
        names = ', '.join(map(str, running))
        raise Problem(f'nodes {names} run already: see {tool("status", file)}'
                      f', end them with {tool("down", file)}')


def check_former(file, hosts):
    """Nor of the file as it was, on hosts that it named then."""
    former = hosts.recall()
    answers, errors = hosts.each(lambda nodes: {'verb': 'runs'}, former)
    running = [where(key) for key, found in answers.items()
               if any(found['runs'].values())]
    bad = list(errors.values())
    if bad:
        bad.append('if such a host will never answer again, and its nodes have '
                   f'ended, remove {State(hosts.name).path / "hosts"}')
    if running:
        bad.append(f'nodes run already on {", ".join(running)}, which '
                   f'{file.path} does not name any more: end them with '
                   f'{tool("down", file)}')
    if bad:
        raise Problem('\n'.join(bad))
    for key in former:
        del hosts.hosts[key]


def directory_of(file, nodes):
    """In which these nodes of one host start; None: that of the tool there."""
    return str(file.path.resolve().parent) if nodes[0].host == LOCAL else None


def start(file, hosts, facts, run):
    """Start all nodes of each host; the first error, when all have tried."""
    directories = {key: f['directory'] for key, f in facts.items()}

    def request(nodes):
        key = hosts.key(nodes[0])
        return {'verb': 'start', 'run': run,
                'cwd': directory_of(file, nodes),
                'nodes': [{'id': n.id, 'command': cluster_command.command(
                    file, n.id, directories[key])} for n in nodes]}

    hosts.all(request)


class Failures:
    """Words for nodes that have ended badly or do not answer.

    A host that ssh does not reach is given time: a pause of the network, or a
    busy sshd, is none of the guest's business."""

    def __init__(self, file):
        self.file = file
        # By node: the time of the last answer.
        self.heard = {n.id: time.monotonic() for n in file.nodes}

    def look(self, seen):
        now = time.monotonic()
        for number, found in seen.items():
            if found['state'] != 'unreachable':
                self.heard[number] = now
        patient = {n for n, at in self.heard.items()
                   if seen[n]['state'] == 'unreachable' and
                   now < at + UNREACHABLE_SECONDS}
        return failures(self.file, seen, patient)


def failures(file, seen, patient=()):
    """The same of one look, without nodes for which we have patience."""
    bad = []
    for node in file.nodes:
        found = seen[node.id]
        if found['state'] == 'ended' and found['exit'] != 0:
            bad.append(describe_end(node, found))
        elif found['state'] in ('absent', 'unreachable') and \
                node.id not in patient:
            why = found.get('problem', 'it was not started')
            bad.append(f'node {node.id}{place(node)}: {why}')
    # A loss has a cause, which comes first.
    if not bad:
        bad += [f'node {node.id}{place(node)}: {reason}'
                for node in file.nodes
                for state, reason in [state_of(seen[node.id])]
                if state == 'lost']
    return bad


class Progress:
    """The number of nodes that have joined, said whenever it changes."""

    def __init__(self, total):
        self.total = total
        self.count = 0

    def look(self, seen):
        count = max(joined(found) for found in seen.values())
        if count > self.count:
            self.count = count
            say(f'joined {count} of {self.total}')


def formed(seen):
    """One node that says so knows that all have joined."""
    return any(f.get('info') and f['info']['formed'] for f in seen.values())


def gone(seen):
    return all(f['state'] == 'ended' for f in seen.values())


def await_formed(file, hosts):
    limit = file.cluster.get('join-timeout', JOIN_SECONDS) + GRACE_SECONDS
    end = time.monotonic() + limit
    progress, watch = Progress(len(file.nodes)), Failures(file)
    while True:
        seen = observe(hosts)
        progress.look(seen)
        # From now on a guest may run, which only its user ends.
        if formed(seen) or gone(seen):
            return
        bad = watch.look(seen)
        if bad:
            raise Failed('\n'.join(bad))
        if time.monotonic() > end:
            raise Failed(f'nodes have not joined each other within {limit} '
                         f's: see {tool("logs", file)}')
        time.sleep(LOOK_SECONDS)


def await_running(file, hosts):
    """Once all nodes have joined; whether there is a guest."""
    end, watch = time.monotonic() + RUN_SECONDS, Failures(file)
    while True:
        seen = observe(hosts)
        bad = watch.look(seen)
        if bad:
            # A guest that may run is its user's to end.
            raise Problem('\n'.join(
                [*bad, f'the nodes that run were left alone: see '
                 f'{tool("status", file)}, end them with '
                 f'{tool("down", file)}']))
        if gone(seen):
            say('the guest has powered off already')
            return False
        state = state_of(seen[0])[0]
        if state == 'running':
            say('the guest runs')
            return True
        if time.monotonic() > end:
            say(f'the guest does not run yet, node 0 is "{state}"')
            return True
        time.sleep(LOOK_SECONDS)


def up(file, hosts, facts):
    """Start a cluster; whatever was started ends if one node fails."""
    check_absent(file, facts)
    check_former(file, hosts)
    hosts.remember()
    # By its name nobody else's nodes are ended.
    run = secrets.token_hex(RUN_BYTES)
    count = len(hosts.hosts)
    say(f'starting {len(file.nodes)} nodes on {count} '
        f'host{"s" if count > 1 else ""}')
    try:
        start(file, hosts, facts, run)
        # A `down` that saw no node may have dropped them meanwhile.
        hosts.remember()
        await_formed(file, hosts)
    except BaseException:
        say('ending the nodes that were started')
        try:
            end_all(hosts, [run])
        except Problem as problem:
            say(str(problem))
        except BaseException:
            say(f'nodes may run on: end them with {tool("down", file)}')
            raise
        raise
    lives = await_running(file, hosts)
    if lives and cluster_command.has_console(file.guest):
        say(f'its console: {tool("console", file)}')


# ------------------------------------------------------------------ down

def runs_of(hosts):
    """Nodes that run, by run and host; a run whose nodes have ended has none.
    And the errors of hosts that do not answer, of which none is known."""
    answers, errors = hosts.each(lambda nodes: {'verb': 'runs'})
    found = {}
    for key, answer in answers.items():
        for run, nodes in answer['runs'].items():
            found.setdefault(run, []).extend((n, key) for n in nodes)
    return found, errors


def alive(hosts, runs, boot=None):
    """Pairs of a node's number and its host's key.  The boot node, if its host
    is given, runs until that host says that it does not."""
    found, errors = runs_of(hosts)
    return [pair for run in runs for pair in found.get(run, ())] + \
        [(0, key) for key in errors if key == boot]


def await_end(hosts, runs, seconds, words=None, boot=None):
    """Until no node runs; the nodes that still do when the time is over."""
    begin = said = time.monotonic()
    while True:
        running = alive(hosts, runs, boot)
        now = time.monotonic()
        if not running or now > begin + seconds:
            return running
        if words and now > said + 5:
            said = now
            say(f'{words}, {now - begin:.0f} of {seconds:.0f} s')
        time.sleep(min(LOOK_SECONDS, seconds))


def command(file, hosts, number, name, arguments=None):
    """A QMP command for one node; None if it was taken, or the reason."""
    node = file.nodes[number]
    key = hosts.key(node)
    answers, errors = hosts.each(lambda nodes: {
        'verb': 'command', 'node': number, 'command': name,
        'arguments': arguments or {}}, [key])
    return errors[key] if key in errors else answers[key].get('why')


def power_off(file, hosts, runs, seconds):
    """Press the guest's power button, as soon as node 0 takes it: another
    client may be at its QMP, or its host under load."""
    end, said = time.monotonic() + seconds, None
    boot = hosts.key(file.nodes[0])
    while why := command(file, hosts, 0, 'system_powerdown'):
        if not alive(hosts, runs, boot):
            return
        if time.monotonic() > end:
            say(f'the guest was not asked to power off within {seconds} s')
            return
        if why != said:
            said = why
            say(f'node 0 does not take the power button yet: {why}')
        time.sleep(LOOK_SECONDS)
    say('asked the guest to power off')
    left = max(0, end - time.monotonic())
    if await_end(hosts, runs, left, 'the guest has not powered off yet', boot):
        say(f'the guest has not powered off within {seconds} s')


def end_all(hosts, runs):
    """End all nodes of these runs without the guest; a Problem names those
    that stay."""
    for how, seconds in (('quit', QUIT_SECONDS), ('term', TERM_SECONDS),
                         ('kill', KILL_SECONDS)):
        # The first request also comes to hosts on which none runs yet.
        answers, errors = hosts.each(lambda nodes, how=how: {
            'verb': 'end', 'how': how, 'runs': runs})
        left = any(a['running'] for a in answers.values()) and \
            await_end(hosts, runs, seconds)
        # A host that missed this call may take the next one.
        if not left and not set(errors) - set(hosts.given_up or ()):
            break
    _, errors = hosts.each(lambda nodes: {'verb': 'forget', 'runs': runs})
    left = alive(hosts, runs)
    if errors or left:
        raise Problem('\n'.join([*errors.values(), *(
            f'node {n}{"" if key == LOCAL else f" on {key[0]}"} does not end'
            for n, key in left)]))


def guest_state(file, hosts):
    """State of node 0.  Its host may miss a call, while the guest runs: a
    Problem if it goes on so, unless another node reports a loss."""
    end = time.monotonic() + UNREACHABLE_SECONDS
    while True:
        states = {number: state_of(found)
                  for number, found in observe(hosts).items()}
        state, reason = states[0]
        if state != 'unreachable' or \
                'lost' in {each for each, _ in states.values()}:
            return state
        if time.monotonic() > end:
            raise Problem(f'{reason}\nnode 0 does not answer, and its guest '
                          f'may run: write {tool("down", file)} again, or '
                          'with --now to end the other nodes')
        time.sleep(LOOK_SECONDS)


def end_guest(file, hosts, runs, state, seconds):
    """Let the guest power off, if it can; a Problem if it could later."""
    if state in HALTED:
        raise Problem(f'the guest is {state} and cannot power off: let it '
                      'go on (QMP command cont, or system_wakeup), or '
                      'write --now')
    if state in ('running', 'silent'):
        power_off(file, hosts, runs, seconds)
        # Its host may be out of reach since.
        guest_state(file, hosts)
    else:
        say(f'node 0 is "{state}": the guest cannot power off')


def down(file, hosts, seconds):
    """End a cluster: the guest first, if it can still do it."""
    hosts.recall()
    if seconds:
        state = guest_state(file, hosts)
    else:
        hosts.give_up()
    # Nodes that somebody starts from now on are not meant.
    found, errors = runs_of(hosts)
    if errors:
        # Unless they were given up, hosts may miss one call.
        found, errors = runs_of(hosts)
    runs = list(found)
    some = any(found.values())
    if some and seconds:
        end_guest(file, hosts, runs, state, seconds)
    hosts.give_up()
    end_all(hosts, runs)
    if errors:
        # Their runs were not known.
        raise Problem('\n'.join([*errors.values(), 'nodes may run there: write'
                                 f' {tool("down", file)} again']))
    hosts.drop()
    say('all nodes have ended' if some else 'no node runs')
