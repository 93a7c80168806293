# SPDX-License-Identifier: GPL-2.0-or-later
"""Says every two seconds how often each CPU has executed a thread that is bound to
it, until it is ended.  Numbers that stand still show a CPU that hangs.

One process stays, since a fork for each line would be work of its own."""

import os
import threading
import time

PERIOD = 2.0
CPUS = sorted(os.sched_getaffinity(0))
beats = dict.fromkeys(CPUS, 0)


def beat(cpu):
    os.sched_setaffinity(0, {cpu})
    while True:
        beats[cpu] += 1
        time.sleep(PERIOD)


# Ahead of all work, however much there is.
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
for number in CPUS:
    threading.Thread(target=beat, args=(number,), daemon=True).start()
while True:
    # One write, so that no other line gets into it.
    os.write(1, ('work: alive ' + ' '.join(
        f'{cpu}={beats[cpu]}' for cpu in CPUS) + '\n').encode())
    time.sleep(PERIOD)
