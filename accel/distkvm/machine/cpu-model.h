/*
 * distkvm: this node's CPU, as its hello states it
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CPU_MODEL_H
#define DISTKVM_CPU_MODEL_H

#include "qobject/qdict.h"

/* The member "cpu" of a hello; the caller's.  Main thread, CPUs are made. */
QDict *cpu_model_make(void);

#endif
