# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that start with the command lines of a cluster file."""

import subprocess
import tempfile
import time
from pathlib import Path

from distkvm.cluster import TIED, Qmp
from distkvm.common import Problem
from distkvm import cluster_command, cluster_file
from naming import named

SECONDS = 60
TEXT = '[guest]\nmemory = "256M"\n[[node]]\ncap = "200M"\n[[node]]\n'


@named('guest: cluster file: two nodes form')
def test_forms():
    with tempfile.TemporaryDirectory(prefix='distkvm-file-') as run_dir:
        path = Path(run_dir) / 'c.toml'
        path.write_text(TEXT)
        file = cluster_file.load(path)
        nodes = [subprocess.Popen(
            [*TIED, *cluster_command.command(file, n, run_dir)])
            for n in (0, 1)]
        try:
            qmp = Qmp(Path(run_dir) / 'qmp-0')
            end = time.monotonic() + SECONDS
            while not qmp.execute('query-distkvm')['formed']:
                if time.monotonic() > end:
                    raise Problem('the cluster did not form')
                time.sleep(0.05)
            qmp.send('quit')
            assert [n.wait(SECONDS) for n in nodes] == [0, 0]
        finally:
            for node in nodes:
                node.kill()
                node.wait()
