/*
 * distkvm: the boot node's memory map, told to followers
 *
 * BQL held.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_MEMMAP_H
#define DISTKVM_MEMMAP_H

/* A larger ROM is not copied. */
#define MEMMAP_ROM_BYTES_MAX (64u << 20)

/* Node 0: tell everyone the map as it is, and each change from now on. */
void memmap_announce(void);

#endif
