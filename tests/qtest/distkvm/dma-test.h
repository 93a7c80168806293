/*
 * distkvm: copies of device models, as qtest makes them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_DMA_TEST_H
#define DISTKVM_DMA_TEST_H

void dma_tests_add(void);

#endif
