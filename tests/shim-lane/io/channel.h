/*
 * QEMU's channels: no test of a part has one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QIO_CHANNEL_H
#define QIO_CHANNEL_H

typedef struct QIOChannel QIOChannel;

#endif
