/*
 * distkvm: the first bytes of a connection between nodes
 *
 * Sixteen bytes each way, the dialing node's first, and the only ones that a
 * peer can say or hear before it has proved itself.  They tell two nodes that
 * are secured differently so; all else they state is a claim that the proof
 * (cluster/door.h) and the hello must bear out.  Pure.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_GREETING_H
#define DISTKVM_GREETING_H

#include "accel/distkvm/core/coh-types.h"

#define GREETING_BYTES 16
#define GREETING_VERSION 1

/* The means by which a peer proves itself. */
typedef enum Security {
    SECURITY_NONE,          /* insecure=on: nothing                         */
    SECURITY_PSK,           /* TLS, both know a pre-shared key              */
    SECURITY_X509,          /* TLS, both have a certificate                 */
    SECURITY_UID,           /* a Unix socket: the kernel names the user     */
    SECURITY__MAX
} Security;

typedef struct Greeting {
    uint8_t version;
    uint8_t security;       /* Security                                     */
    CohNodeId node;         /* the sender's claim                           */
} Greeting;

void greeting_encode(const Greeting *greeting, uint8_t bytes[GREETING_BYTES]);
/* False if @bytes are no greeting of any version of distkvm. */
bool greeting_decode(const uint8_t bytes[GREETING_BYTES], Greeting *greeting);
/* "TLS with a pre-shared key", for messages; also of an unknown value. */
const char *security_name(uint8_t security);

#endif
