# SPDX-License-Identifier: GPL-2.0-or-later
"""After the loss of a node nothing leaves that the guest did not write."""

import socket
import subprocess
import threading
import time
from pathlib import Path

from distkvm import guests
from distkvm.cluster import Shape
from distkvm.common import QEMU_BUILD, Problem
from distkvm.console import Console
from distkvm.loss import quit_survivor, wait_named
from naming import cases

TIMEOUT = 240
MIB = 1 << 20
MODULES = ['virtio_pci', 'virtio_blk', 'virtio_net', '9pnet_virtio', '9p']
# The guest writes 0xa5 only, the images begin as 0xff.
LEAK = bytes(64)


class Sink(threading.Thread):
    """The other end of the guest's network."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', 0))
        self.port = self.socket.getsockname()[1]
        self.packets = self.leaks = 0

    def run(self):
        while True:
            packet = self.socket.recv(65536)
            if len(packet) > 1400:
                self.packets += 1
                self.leaks += LEAK in packet


def image(path):
    path.write_bytes(b'\xff' * (32 * MIB))
    return path


def devices(raw, nbd, port, share):
    return ['-fsdev', f'local,id=f,path={share},security_model=none',
            '-device', 'virtio-9p-pci,fsdev=f,mount_tag=share',
            '-drive', f'file={raw},format=raw,if=none,id=a,cache=none',
            '-device', 'virtio-blk-pci,drive=a',
            '-drive', f'file=nbd+unix:///?socket={nbd},format=raw,if=none,'
                      'id=b', '-device', 'virtio-blk-pci,drive=b',
            '-netdev', 'dgram,id=n,remote.type=inet,remote.host=127.0.0.1,'
                       f'remote.port={port},local.type=inet,'
                       'local.host=127.0.0.1,local.port=0',
            '-device', 'virtio-net-pci,netdev=n']


def fences(numbers):
    return {f'guest: nothing false leaves after a loss, {n + 1}':
            0.1 + 0.35 * n for n in numbers}


@cases('delay', fences([1]), fences([0, 2, 3, 4, 5]))
def test_fence(delay, clusters, tmp_path, note):
    """kill -9 of the node whose memory is being sent."""
    cluster = clusters(Shape(nodes=2, memory='256M'), 'fence')
    images = [image(cluster.run_dir / n) for n in ('raw', 'nbd')]
    images.append(image(tmp_path / 'file'))
    nbd = subprocess.Popen(
        [str(QEMU_BUILD / 'qemu-nbd'), '-f', 'raw', '-k',
         str(cluster.run_dir / 'nbd.sock'), '-t', str(images[1])])
    sink = Sink()
    sink.start()
    try:
        cluster.start(1)
        process = cluster.start(
            0, ['-nodefaults', '-display', 'none', '-serial', 'stdio',
                *guests.quick_args('quiet', 'leak', MODULES),
                *devices(images[0], cluster.run_dir / 'nbd.sock',
                         sink.port, tmp_path)], stdout=subprocess.PIPE)
        Console(process).until('guest-leak: working', TIMEOUT)
        for node in (0, 1):
            cluster.qmp(node)
        end = time.monotonic() + 60
        while not (sink.packets and all(p.read_bytes().count(b'\xa5' * 512)
                                        for p in images)):
            if time.monotonic() > end:
                raise Problem('nothing reaches disks, share and network')
            time.sleep(0.2)
        time.sleep(delay)
        started = time.monotonic()
        cluster.process[1].kill()
        wait_named(cluster, 0, 1, started)
        time.sleep(0.3)
        quit_survivor(cluster, 0)
        leaks = [Path(p).read_bytes().count(LEAK) for p in images]
        if any(leaks) or sink.leaks:
            raise Problem(f'zeroes left the guest: disks, share {leaks}, '
                          f'network {sink.leaks}')
        note(f'{sink.packets} packets')
    finally:
        # Before its disk goes.
        cluster.end()
        nbd.terminate()
        nbd.wait()
