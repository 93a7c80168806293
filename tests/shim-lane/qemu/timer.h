/*
 * QEMU's host clock: each test has its own, lane-fake.h
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_TIMER_H
#define QEMU_TIMER_H

#define SCALE_MS 1000000
#define SCALE_US 1000

int64_t get_clock(void);
int qemu_poll_ns(GPollFD *fds, unsigned nfds, int64_t timeout);

#endif
