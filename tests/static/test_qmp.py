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


@named('static: QMP: an event ahead of the greeting')
def test_early_event(tmp_path):
    """A new connection is told what happens before QEMU greets it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / 'qmp'))
    listener.listen()

    def serve():
        with listener.accept()[0] as peer, peer.makefile('rw') as stream:
            for answers in ((LOST, GREETING), ({'return': {}},),
                            (LOST, STATUS)):
                for answer in answers:
                    stream.write(json.dumps(answer) + '\n')
                stream.flush()
                stream.readline()

    server = threading.Thread(target=serve)
    server.start()
    with contextlib.closing(Qmp(tmp_path / 'qmp')) as qmp:
        if qmp.execute('query-status') != STATUS['return']:
            raise Problem('another answer')
        if qmp.events != [LOST['event']] * 2:
            raise Problem(f'events: {qmp.events}')
    server.join()
    listener.close()
