/*
 * distkvm: how a node comes up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_START_H
#define DISTKVM_START_H

#include <stdint.h>

/* Options that need the whole machine; texts may be NULL. */
typedef struct StartOptions {
    char *mem, *cap;
    char *tls_creds, *tls_authz;
    bool insecure, test_device;
    int64_t lanes;
} StartOptions;

/*
 * Bring this node up once the machine is complete; takes over the texts.  Main
 * thread, when distkvm is filled in as far as options alone can say.
 */
void start_when_machine_is_done(const StartOptions *options);

#endif
