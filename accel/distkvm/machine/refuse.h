/*
 * distkvm: machines that cannot work, and why
 *
 * Main thread.  False and @errp, with reason and remedy.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_REFUSE_H
#define DISTKVM_REFUSE_H

#include "hw/boards.h"

/* Before any CPU or device is made. */
bool distkvm_refuse_machine(MachineState *ms, Error **errp);
/* All devices of the start are there. */
bool distkvm_refuse_devices(Error **errp);

#endif
