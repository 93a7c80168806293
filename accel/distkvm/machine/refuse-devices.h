/*
 * distkvm: devices and backends that cannot work
 *
 * Main thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_REFUSE_DEVICES_H
#define DISTKVM_REFUSE_DEVICES_H

/* From now on such a device is not made. */
void refuse_devices_init(void);
/* All devices of the start are there: look at those made by default. */
bool refuse_devices_check(Error **errp);

#endif
