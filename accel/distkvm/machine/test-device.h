/*
 * distkvm: a device of each node, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TEST_DEVICE_H
#define DISTKVM_TEST_DEVICE_H

/*
 * Test hook x-test-device=on, the same on all nodes: node N has a device at
 * 0xfe800000 + 4096 * N, and at port 0x700 + 8 * N.  Main thread, BQL held,
 * after memmap_init().
 */
void test_device_init(void);

#endif
