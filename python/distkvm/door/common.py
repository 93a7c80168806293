# SPDX-License-Identifier: GPL-2.0-or-later
"""What tests of the door have in common: nodes that wait for their peers, and
what must still be true of them after somebody knocked."""

import contextlib
import time

from .. import wire
from ..cluster import Cluster, Shape
from ..common import BUILD, Problem
from ..tls import secure

HEADLESS = ['-nodefaults', '-display', 'none']
# Threads get names of their own; without it all have the process's.
NAMED = ['-name', 'door,debug-threads=on']
# A machine under load needs this long at most; no test measures it.
PATIENCE = 60
# How long a stranger is listened to, and some.
STRANGER_SECONDS = 10


def until(what, condition, patience=PATIENCE):
    """Wait until the condition holds; its value."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Problem(f'within {patience} s not {what}')
        time.sleep(0.05)


def qtest_cluster(name, nodes=2, prefix=None, **shape):
    """Nodes that execute no guest code: they come up at once."""
    return Cluster(Shape(**{'nodes': nodes, 'memory': '64M', 'vmi': 'qtest',
                            **shape}), BUILD / 'log' / f'door-{name}', prefix)


def log_of(cluster, node):
    """What a node has said; not its command, which the log begins with."""
    text = cluster.log(node).read_text(errors='replace')
    return text.partition('\n')[2]


def listens(cluster, node):
    """Whether somebody takes connections there yet."""
    with contextlib.suppress(OSError):
        cluster.net.connect(node).close()
        return True
    return False


def start_waiting(cluster, extra=()):
    """Node 0, until it listens."""
    cluster.start(0, [*HEADLESS, *extra])
    cluster.qmp(0)
    until('node 0 listens', lambda: listens(cluster, 0))


@contextlib.contextmanager
def waiting(name, net, nodes=2, **shape):
    """A cluster of which only node 0 is there, and listens."""
    with qtest_cluster(name, nodes, net=net, **shape) as cluster:
        start_waiting(cluster)
        yield cluster


@contextlib.contextmanager
def formed(name, nodes=2, extra=(), **shape):
    """A whole cluster, whose QMP connections are open."""
    with qtest_cluster(name, nodes, **shape) as cluster:
        for node in range(nodes):
            cluster.start(node, [*(() if node else HEADLESS), *extra])
        cluster.wait_formed(PATIENCE)
        for node in range(nodes):
            cluster.qmp(node)
        yield cluster


def check_calm(cluster, nodes):
    """These nodes live, answer, and have lost nobody."""
    for node in nodes:
        status = cluster.process[node].poll()
        if status is not None:
            raise Problem(f'node {node} ended with {status}: '
                          f'{log_of(cluster, node)[-600:]}')
        if cluster.info(node)['failed']:
            raise Problem(f'node {node} has failed: '
                          f'{log_of(cluster, node)[-600:]}')


def join(cluster):
    """The nodes that are missing come, and all become one."""
    for node, process in enumerate(cluster.process):
        if not process:
            cluster.start(node, () if node else HEADLESS)
    cluster.wait_formed(PATIENCE)
    check_calm(cluster, range(cluster.shape.nodes))


def wait_said(cluster, node, *wanted):
    """Until the node has said all this; what it has said."""
    for words in wanted:
        until(f"node {node} says '{words}'",
              lambda words=words: words in log_of(cluster, node))
    return log_of(cluster, node)


def hear(stream, seconds=STRANGER_SECONDS):
    """All that comes before the other end closes, or nothing comes."""
    stream.settimeout(seconds)
    heard = b''
    with contextlib.suppress(OSError, Problem):
        while more := stream.recv(4096):
            heard += more
    return heard


def heard_until_closed(stream):
    """None if the other end does not close in the time that strangers have."""
    heard = b''
    try:
        stream.settimeout(STRANGER_SECONDS)
        while more := stream.recv(4096):
            heard += more
    except TimeoutError:
        return None
    except OSError:
        pass
    return heard


def knock(cluster, node, *said):
    """Each of these is said to a node by a stranger of its own, all at the
    same time; pairs of what was said and what was heard, None if the node
    does not close the connection."""
    streams = []
    for data in said:
        stream = cluster.net.connect(node)
        with contextlib.suppress(OSError):
            stream.sendall(data)
        streams.append(stream)
    heard = [heard_until_closed(stream) for stream in streams]
    for stream in streams:
        stream.close()
    return list(zip(said, heard))


def check_told_nothing(answers):
    """Strangers hear a greeting and what TLS makes of it, no message."""
    for said, heard in answers:
        what = said[:60]
        if heard is None:
            raise Problem(f'{what}: the node keeps the connection')
        if heard and not heard.startswith(wire.MAGIC):
            raise Problem(f'{what}: the node answers {heard[:64]}')
        if b'"type"' in heard:
            raise Problem(f'{what}: the node tells {heard[:200]}')


def proved(net, node, to, **keys):
    """A connection to a node on which we have proved to belong."""
    stream = net.connect(to)
    try:
        wire.greet(stream, net.kind, node)
        return secure(stream, net, node, **keys)
    except BaseException:
        stream.close()
        raise


def first_said(cluster, node, listen):
    """What `listen` hears from a real node that dials node 0, whom we play;
    the node is ended after that."""
    with wire.listening(cluster.net, 0) as listener:
        cluster.start(node)
        listener.settimeout(PATIENCE)
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(PATIENCE)
            said = listen(stream)
    cluster.process[node].kill()
    cluster.process[node].wait()
    cluster.process[node] = None
    return said


def real_hello(cluster, node):
    """The hello of a node, where there are no keys."""
    return first_said(cluster, node, lambda stream: wire.dialed_hello(
        stream, cluster.net.kind))
