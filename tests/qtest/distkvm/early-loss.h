/*
 * distkvm: engine_start() as the linker's --wrap names it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_EARLY_LOSS_H
#define DISTKVM_EARLY_LOSS_H

#include "accel/distkvm/engine/engine.h"

/* The engine's own. */
void __real_engine_start(Engine *e);
/* In its place, for the node. */
void __wrap_engine_start(Engine *e);

#endif
