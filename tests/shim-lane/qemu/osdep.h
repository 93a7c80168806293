/*
 * Names of QEMU's osdep.h that the parts of a lane may use
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef LANE_OSDEP_H
#define LANE_OSDEP_H

#include "../../shim/qemu/osdep.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

typedef struct Error Error;

#define ARRAY_SIZE(array) G_N_ELEMENTS(array)
#define QEMU_BUILD_BUG_ON(wrong) G_STATIC_ASSERT(!(wrong))

#endif
