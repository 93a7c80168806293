/*
 * distkvm: stubs for tools and user emulation
 *
 * The calls that only system emulators make are in accel/stubs/distkvm-stub.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "system/distkvm.h"

bool distkvm_block_driver_fits(const char *format, Error **errp)
{
    return true;
}

bool distkvm_object_fits(Object *obj, Error **errp)
{
    return true;
}

void distkvm_atomic_begin(CPUState *cpu)
{
}

void distkvm_atomic_pin(CPUState *cpu)
{
}

void distkvm_atomic_end(CPUState *cpu)
{
}

bool distkvm_must_bounce(void)
{
    return false;
}

void *distkvm_bounce(DistkvmBounce *bounce, size_t bytes)
{
    return NULL;
}

void distkvm_bounce_free(DistkvmBounce *bounce)
{
}

bool distkvm_fenced(void)
{
    return false;
}
