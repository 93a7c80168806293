/*
 * A hello as a node of a machine makes it, for tests without one
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef MACHINE_HELLO_H
#define MACHINE_HELLO_H

#include "qobject/qjson.h"
#include "qobject/qdict.h"

/* Single quotes are QEMU's own way of writing JSON in C. */
#define MACHINE_HELLO \
    "{'cpu': {'name': 'EPYC-v1-x86_64-cpu', 'vendor': 'AuthenticAMD'," \
    "         'features': ['aes', 'avx', 'avx2', 'sse2', 'xsave']," \
    "         'xsave': '2: 256 at 576', 'address-bits': 40}," \
    " 'tsc-khz': 2500000, 'tsc-scaling': false," \
    " 'firmware': 'b5bb9d8014a0f9b1d61e21e796d78dcc'," \
    " 'own-firmware': true}"

static inline QDict *machine_hello(void)
{
    return qobject_to(QDict, qobject_from_json(MACHINE_HELLO, &error_abort));
}

#endif
