# SPDX-License-Identifier: GPL-2.0-or-later
"""status --prometheus: the format, by its grammar and by Prometheus' own parser,
and the values."""

import os
import re
import signal
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from distkvm.operate import prometheus
from exposition import of, parsed
from naming import named
from operating import await_end, place

pytestmark = pytest.mark.overlaps


def own_parser(text):
    """Families that Prometheus' parser finds; its package may be missing."""
    parser = pytest.importorskip(
        'prometheus_client.parser',
        reason='needs its parser: apt-get install python3-prometheus-client')
    return list(parser.text_string_to_metric_families(text))


@named('static: prometheus: metrics of nodes that run')
def test_running():
    with place() as found:
        found.tool('up')
        text = found.tool('status', '--prometheus').stdout
        found.tool('down')
    values = parsed(text)
    guest = {'guest': 'c', 'node': '1'}
    assert of(values, 'node_up', **guest) == 1
    assert of(values, 'node_state', state='running', **guest) == 1
    assert of(values, 'node_state', state='lost', **guest) == 0
    assert of(values, 'memory_home_bytes', **guest) == 1 << 30
    assert of(values, 'memory_resident_bytes', **guest) == 512 * 4096
    assert of(values, 'clock_offset_seconds', **guest) == -1.5e-6
    assert of(values, 'peer_silence_seconds', peer='0', **guest) == 0.04
    faults = of(values, 'faults_total', kind='write', **guest)
    assert faults >= 1000 and faults % 1000 == 0
    # A fifth of the count, as the fake node has it.
    assert of(values, 'sent_bytes_total', kind='blocks', **guest) == faults / 5
    bucket = 'fault_wait_seconds_bucket'
    assert of(values, bucket, kind='read', le='6.4e-05', **guest) == 0
    assert of(values, bucket, kind='read', le='0.000128', **guest) == faults
    assert of(values, bucket, kind='read', le='+Inf', **guest) == faults
    assert of(values, 'fault_wait_seconds_count', kind='read', **guest) == \
        faults
    assert of(values, 'fault_wait_seconds_sum', kind='read', **guest) == \
        pytest.approx(faults / 1e9)


@named('static: prometheus: its own parser reads them')
def test_own_parser():
    with place() as found:
        found.tool('up')
        text = found.tool('status', '--prometheus').stdout
        found.tool('down')
    families = {f.name: f for f in own_parser(text)}
    assert families['distkvm_faults'].type == 'counter'
    assert families['distkvm_fault_wait_seconds'].type == 'histogram'
    assert len(families) == len(re.findall('^# TYPE', text, re.M))
    assert {s.labels['node'] for s in
            families['distkvm_node_up'].samples} == {'0', '1'}


@named('static: prometheus: a node that has ended has its state alone')
def test_ended():
    with place() as found:
        found.tool('up')
        pid = found.status()[1]['pid']
        os.kill(pid, signal.SIGKILL)
        await_end([pid])
        values = parsed(found.tool('status', '--prometheus', status=1).stdout)
    assert of(values, 'node_up', node='0') == 0
    assert of(values, 'node_state', node='0', state='lost') == 1
    assert of(values, 'node_state', node='1', state='ended') == 1
    assert {key[0] for key in values if ('node', '1') in key} == \
        {'distkvm_node_up', 'distkvm_node_state'}


@named('static: prometheus: a file is replaced whole')
def test_file():
    with place() as found:
        found.tool('up')
        directory = found.path / 'textfile'
        directory.mkdir()
        path = directory / 'c.prom'
        path.write_text('old')
        old = path.open()
        assert found.tool('status', '--prometheus', '-o',
                          str(path)).stdout == ''
        # A reader that has it open reads on in the old one.
        with old:
            assert old.read() == 'old'
        assert of(parsed(path.read_text()), 'node_up', node='0') == 1
        # node_exporter is another user.
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert list(directory.iterdir()) == [path]
        said = found.tool('status', '--prometheus', '-o', '/none/x.prom',
                          status=1).stderr
        assert '/none/x.prom: No such file' in said
        assert '-o: is for --prometheus' in found.tool(
            'status', '-o', str(path), status=1).stderr
        found.tool('down')


@named('static: prometheus: odd names are quoted')
def test_quoted():
    node = SimpleNamespace(id=0)
    file = SimpleNamespace(path=Path('a"b\\c\nd.toml'), nodes=[node])
    text = prometheus.text(file, {0: {'state': 'absent'}})
    values = parsed(text)
    assert of(values, 'node_up', guest=r'a\"b\\c\nd') == 0
    family, *_ = own_parser(text)
    assert family.samples[0].labels['guest'] == 'a"b\\c\nd'
