/*
 * distkvm: device accesses between nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_IO_H
#define DISTKVM_IO_H

/*
 * Serve device accesses; on a follower, forward those of local vCPUs.  Main
 * thread, BQL held, before membership starts.
 */
void io_init(void);

#endif
