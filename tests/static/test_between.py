# SPDX-License-Identifier: GPL-2.0-or-later
"""check: clocks of hosts, the path between them, their kernels and libraries."""

import re
import socket
import threading
import time

import pytest

from distkvm import cluster_file
from distkvm.network import free_ports
from distkvm.operate import between, check, facts, reach
from distkvm.operate.remote import Hosts
from naming import cases, named
from operating import LOCAL, on_other_host, place, two_hosts

pytestmark = pytest.mark.overlaps

SKEW = 1000


# ------------------------------------------------------------------ clocks

@cases('skew, words', {
    'static: check: a clock that is ahead': (SKEW, 'ahead of'),
    'static: check: a clock that is behind': (-SKEW, 'behind')})
def test_clock(skew, words):
    """A warning with its line; the guest may run."""
    with place() as found:
        two_hosts(found)
        on_other_host(found, 'import time\n\nreal = time.time\n'
                      f'time.time = lambda: real() + {skew}\n')
        began = time.monotonic()
        done = found.tool('check')
        said = re.search(r'warning: (\S+):(\d+): key node\[1\]\.host: the '
                         rf'clock of \S+ is at least (\d+) s {words} that of ',
                         done.stderr)
        assert said, done.stderr
        line = found.file.read_text().splitlines()[int(said.group(2)) - 1]
        assert line == 'host = "root@hostB"'
        # An answer takes time, by which the clocks may be closer.
        took = time.monotonic() - began
        assert SKEW - took - 1 < int(said.group(3)) <= SKEW
        assert 'certificates' not in done.stderr
        # Clocks of one machine agree, however slow its answers are.
        on_other_host(found, 'import time\ntime.sleep(1)\n')
        assert 'clock' not in found.tool('check').stderr


@named('static: check: bounds of a clock')
def test_offset():
    # Asked at 10, answered at 13; the host says that it was 111 to 112.
    least, most = between.offset({'time': (111, 112), 'between': (10, 13)})
    assert (least, most) == (99, 101)


# -------------------------------------------------------------------- path

@pytest.fixture
def listener():
    with socket.create_server(('127.0.0.1', 0)) as found:
        yield found


def address_of(found):
    return f'127.0.0.1:{found.getsockname()[1]}'


@named('static: check: a path that carries large packets')
def test_path(listener):
    threading.Thread(target=reach.serve, args=(listener,),
                     daemon=True).start()
    for _ in range(3):
        assert reach.dial_one(address_of(listener)) is None


@named('static: check: large packets are lost on the way there')
def test_lost_there(monkeypatch, listener):
    """In their place a receiver that takes a few bytes only."""
    monkeypatch.setattr(reach, 'DIAL_SECONDS', 1)
    monkeypatch.setattr(reach, 'PROBE_BYTES', 8 << 20)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reason, remedy = reach.dial_one(address_of(listener))
    assert re.fullmatch(r'packets of \d{3,} bytes do not get from \S+ to '
                        rf'{address_of(listener)}, though small ones do',
                        reason)
    assert 'MTU' in remedy


@named('static: check: large packets are lost on the way back')
def test_lost_back(monkeypatch, listener):
    """The peer takes all bytes within that, on a machine under load, too."""
    monkeypatch.setattr(reach, 'DIAL_SECONDS', 3)
    taken = threading.Event()

    def take():
        with listener.accept()[0] as peer:
            reach.receive(peer, reach.PROBE_BYTES)
            taken.wait()

    thread = threading.Thread(target=take, daemon=True)
    thread.start()
    reason, _ = reach.dial_one(address_of(listener))
    taken.set()
    thread.join()
    assert f' do not get from {address_of(listener)} to ' in reason


@named('static: check: another service at the port of a node')
def test_other_service(listener):
    """It closes at once: no packet is to blame."""
    def close():
        peer = listener.accept()[0]
        reach.receive(peer, reach.PROBE_BYTES)
        peer.close()

    threading.Thread(target=close, daemon=True).start()
    reason, _ = reach.dial_one(address_of(listener))
    assert f'{address_of(listener)} ends a connection' in reason


@named('static: check: nobody listens at a port')
def test_nobody():
    port, = free_ports(1)
    reason, remedy = reach.dial_one(f'127.0.0.1:{port}')
    assert 'cannot be reached' in reason and 'firewall' in remedy


# --------------------------------------------------------------- transport

@cases('program, words', {
    'static: check: UCX is missing':
        ('import ctypes; ctypes.CDLL("libnone.so")', 'UCX is missing (OSErr'),
    'static: check: UCX cannot be tried':
        ('import time; time.sleep(100)', 'UCX cannot be tried')})
def test_ucx(monkeypatch, program, words):
    monkeypatch.setattr(facts, 'UCX', program)
    monkeypatch.setattr(facts, 'VERSION_SECONDS', 1 if 'sleep' in program
                        else facts.VERSION_SECONDS)
    library, segments = facts.ucx()
    assert library[0].startswith(words) and segments is None


@named('static: check: no System V segments')
def test_segments(monkeypatch):
    monkeypatch.setattr(facts, 'UCX', f'import sys; sys.exit('
                        f'{facts.NO_SEGMENT})')
    library, segments = facts.ucx()
    assert library is None and 'no System V segments' in segments[0]


@cases('kind, ucx, wanted', {
    'static: check: transport "ucx" without its library':
        ('ucx', (('it is missing', 'get it'), None), 'it is missing, get it'),
    'static: check: transport "ucx" needs no segments':
        ('ucx', (None, ('none', 'more')), None),
    'static: check: transport "shm" needs segments':
        ('shm', (None, ('none', 'more')), 'none, more'),
    'static: check: transport "auto" needs neither':
        ('auto', (('it is missing', 'get it'), ('none', 'more')), None)})
def test_transport(monkeypatch, kind, ucx, wanted):
    """With the line of the key."""
    monkeypatch.setattr(facts, 'ucx', lambda: ucx)
    with place(f'[cluster]\ntransport = "{kind}"\n{LOCAL}') as found:
        monkeypatch.setenv('XDG_STATE_HOME', found.env['XDG_STATE_HOME'])
        file = cluster_file.load(found.file)
        errors = check.HostCheck(file, Hosts(file)).errors
        assert len(errors) == (wanted is not None), errors
        for error in errors:
            assert error.startswith(f'{found.file}:3: key cluster.transport: '
                                    'on ')
            assert error.endswith(wanted)


# --------------------------------------------------------------------- KVM

@cases('module, name, value, wanted', {
    'static: check: KVM without nested paging': ('kvm_amd', 'npt', 'N', True),
    'static: check: KVM without EPT': ('kvm_intel', 'ept', '0', True),
    'static: check: KVM with EPT': ('kvm_intel', 'ept', 'Y', False)})
def test_shadows(monkeypatch, tmp_path, module, name, value, wanted):
    monkeypatch.setattr(facts, 'MODULES', tmp_path)
    assert facts.shadows() is None
    path = tmp_path / module / 'parameters' / name
    path.parent.mkdir(parents=True)
    path.write_text(value + '\n')
    found = facts.shadows()
    assert (found is not None) == wanted
    if wanted:
        assert f'{name}=0' in found[0] and f'{module} {name}=1' in found[1]


@cases('vmi, fact, error, warning', {
    'static: check: KVM that shadows is refused':
        ('kvm', 'shadows', True, False),
    'static: check: KVM that shadows, where KVM may be taken':
        ('auto', 'shadows', False, True),
    'static: check: eptad makes KVM slow': ('kvm', 'slow_kvm', False, True),
    'static: check: TCG needs neither': ('tcg', 'shadows', False, False)})
def test_kvm(monkeypatch, vmi, fact, error, warning):
    """With the line of the node's key."""
    for name in ('kvm', 'shadows', 'slow_kvm'):
        monkeypatch.setattr(facts, name, lambda name=name: (
            'it is so', 'change it') if name == fact else None)
    with place(LOCAL + f'vmi = "{vmi}"\n') as found:
        monkeypatch.setenv('XDG_STATE_HOME', found.env['XDG_STATE_HOME'])
        file = cluster_file.load(found.file)
        checked = check.HostCheck(file, Hosts(file))
        wanted = f'{found.file}:7: key node[1].vmi: it is so'
        wanted += (": TCG executes this node's vCPUs, which is slower"
                   if vmi == 'auto' else '') + ', change it'
        assert checked.errors == [wanted] * error
        assert checked.warnings == [wanted] * warning
