# SPDX-License-Identifier: GPL-2.0-or-later
"""A viewer at node 0's screen, and a guest that hears it on node 1's CPU."""

import itertools
import re
import threading

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.guests.checks import TIMEOUT
from distkvm.qtest import HEADLESS, qtest_cluster, wait_said
from naming import cases, named
from vnc import Vnc

SECONDS = 0.2
LETTER = ord('a')
# Linux's type of event, and its code; the value has two words.
KEY = '1 30'
MODULES = ['evdev', 'xhci_pci', 'usbhid', 'hid_generic']
# A tablet's axes end here.
FAR = 0x7fff
SCREEN = ['-device', 'VGA', '-device', 'qemu-xhci,id=usb', '-device',
          'usb-tablet,bus=usb.0']


def type_and_point(screen, stop):
    """Until told to stop: the guest may not listen yet."""
    middle = screen.width // 2, screen.height // 2
    for place in itertools.cycle(((0, 0), middle)):
        screen.key(LETTER)
        screen.point(*place)
        if stop.wait(SECONDS):
            return


def heard(text, device):
    return [' '.join(line.split()) for line in
            re.findall(rf'guest-input: {device} says (.*)', text)]


def check_axis(events, axis):
    """Each value is that of one of the two points, but for rounding."""
    values = [int(e.split()[2]) for e in events if e.startswith(f'3 {axis} ')]
    if not values or any(min(v, abs(v - FAR // 2)) > FAR // 100
                         for v in values):
        raise Problem(f'the tablet is at {values} of axis {axis}')


@named('guest: keyboard and tablet over VNC, heard by node 1')
def test_vnc(note):
    with Cluster(Shape(nodes=2, memory='256M'), BUILD / 'log' / 'input') \
            as cluster:
        path = cluster.run_dir / 'vnc'
        console = cluster.boot(
            '-vnc', f'unix:{path}', *SCREEN,
            *guests.quick_args('quiet', 'input', modules=MODULES))
        console.until('guest-input: keyboard is /dev/', TIMEOUT)
        screen, stop = Vnc(path, TIMEOUT), threading.Event()
        typist = threading.Thread(target=type_and_point, args=(screen, stop))
        typist.start()
        try:
            console.until('guest-input: end', TIMEOUT)
        finally:
            stop.set()
            typist.join()
            screen.close()
        console.drain()
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')
    keys = heard(console.text, 'keyboard')
    if not {f'{KEY} 1 0', f'{KEY} 0 0'} <= set(keys):
        raise Problem(f'the key was not pressed and released: {keys}')
    for axis in (0, 1):
        check_axis(heard(console.text, 'tablet'), axis)
    found = re.search(r'^ *\d+: +(\d+) +(\d+) .*i8042', console.text, re.M)
    if not found or not int(found.group(2)):
        raise Problem('node 1 has served no interrupt of the keyboard')
    note(f'{found.group(2)} interrupts of the keyboard on node 1')


@cases('args, wanted', {
    'refused: a screen of a follower': (
        [], r'distkvm: -vnc cannot work on node 1.*node 0'),
    'refused: VGA of a follower': (
        ['-device', 'VGA'], "device 'VGA' cannot work on node 1: it is a VGA"),
    'refused: not the screen of a follower with a display': (
        ['-device', 'bochs-display'], None)})
def test_follower(args, wanted):
    with qtest_cluster('follower-vnc') as cluster:
        cluster.start(1, [*HEADLESS, '-vnc', f'unix:{cluster.run_dir}/v', *args])
        cluster.start(0, HEADLESS)
        if wanted:
            wait_said(cluster, 1, wanted)
        else:
            cluster.wait_formed()
