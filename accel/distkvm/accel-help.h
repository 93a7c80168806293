/*
 * distkvm: -accel distkvm,help
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ACCEL_HELP_H
#define DISTKVM_ACCEL_HELP_H

#include "qom/object.h"

/* @oc lists its properties, and ends QEMU, if it is given "help". */
void accel_help_add(ObjectClass *oc);

#endif
