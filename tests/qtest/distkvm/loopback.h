/*
 * loopback: one process that stands for all nodes, to test services
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_LOOPBACK_H
#define DISTKVM_LOOPBACK_H

/* Given by each test: it starts its service, and uses it as node 1. */
void loopback_test(void);

#endif
