/*
 * distkvm: the first bytes of a connection between nodes
 *
 * Pure.  Spec: docs/wire-format.rst, "Greeting".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "greeting.h"

static const uint8_t magic[8] = "DISTKVM";

enum {
    AT_VERSION = 8,     /* 1 */
    AT_SECURITY = 9,    /* 1 */
    AT_NODE = 10,       /* 2 */
};

void greeting_encode(const Greeting *greeting, uint8_t bytes[GREETING_BYTES])
{
    memset(bytes, 0, GREETING_BYTES);
    memcpy(bytes, magic, sizeof(magic));
    bytes[AT_VERSION] = greeting->version;
    bytes[AT_SECURITY] = greeting->security;
    bytes[AT_NODE] = greeting->node & 0xff;
    bytes[AT_NODE + 1] = greeting->node >> 8;
}

bool greeting_decode(const uint8_t bytes[GREETING_BYTES], Greeting *greeting)
{
    *greeting = (Greeting) {
        .version = bytes[AT_VERSION],
        .security = bytes[AT_SECURITY],
        .node = bytes[AT_NODE] | bytes[AT_NODE + 1] << 8,
    };
    return !memcmp(bytes, magic, sizeof(magic));
}

const char *security_name(uint8_t security)
{
    static const char *const name[] = {
        [SECURITY_NONE] = "nothing (insecure=on)",
        [SECURITY_PSK] = "TLS with a pre-shared key",
        [SECURITY_X509] = "TLS with certificates",
        [SECURITY_UID] = "Unix sockets",
    };

    return security < SECURITY__MAX ? name[security] : "something unknown";
}
