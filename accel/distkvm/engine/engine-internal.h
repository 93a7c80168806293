/*
 * distkvm: an engine's insides, for the files of its calls
 *
 * engine.c and engine-request.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ENGINE_INTERNAL_H
#define DISTKVM_ENGINE_INTERNAL_H

#include "lane.h"

struct Engine {
    EngineConfig config;
    LaneTables tables;
    Mem *mem;
    bool hung;                  /* atomic: a lane hung when this one failed */
    unsigned lanes;
    Lane *lane[LANES_MAX];
    GByteArray *address;        /* of all lanes; empty: peers bring streams */
};

#endif
