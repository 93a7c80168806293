# SPDX-License-Identifier: GPL-2.0-or-later
"""The tests' QMP client, without QEMU."""

import contextlib
import json
import socket
import threading

from distkvm.cluster import Qmp
from distkvm.common import Problem
from naming import named

LOST = {'event': 'DISTKVM_NODE_LOST', 'data': {'node': 2}}
GREETING = {'QMP': {'version': {}, 'capabilities': []}}
STATUS = {'return': {'status': 'running'}}


@contextlib.contextmanager
def server(path, *turns):
    """A QMP server that says so before each of its client's commands."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve():
            with listener.accept()[0] as peer, peer.makefile('r') as commands:
                for answers in turns:
                    peer.sendall(''.join(json.dumps(answer) + '\n'
                                         for answer in answers).encode())
                    commands.readline()

        thread = threading.Thread(target=serve)
        thread.start()
        with contextlib.closing(Qmp(path)) as qmp:
            yield qmp
        thread.join()


def check(qmp, events):
    if qmp.execute('query-status') != STATUS['return']:
        raise Problem('another answer')
    if qmp.events != [LOST['event']] * events:
        raise Problem(f'events: {qmp.events}')


@named('static: QMP: an event ahead of the greeting')
def test_early_event(tmp_path):
    """A new connection is told what happens before QEMU greets it."""
    with server(tmp_path / 'qmp', (LOST, GREETING), ({'return': {}},),
                (LOST, STATUS)) as qmp:
        check(qmp, 2)


@named('static: QMP: an event right behind an answer')
def test_late_event(tmp_path):
    """It is kept until the next answer is read."""
    with server(tmp_path / 'qmp', (GREETING,), ({'return': {}},),
                (STATUS, LOST), (STATUS,)) as qmp:
        check(qmp, 0)
        check(qmp, 1)
