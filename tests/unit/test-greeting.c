/*
 * distkvm: tests of the first bytes of a connection
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/wire/greeting.h"

static void test_there_and_back(void)
{
    for (unsigned security = 0; security < SECURITY__MAX; security++) {
        const Greeting sent = {
            .version = 7, .security = security, .node = 0x1234,
        };
        uint8_t bytes[GREETING_BYTES];
        Greeting got;

        greeting_encode(&sent, bytes);
        g_assert_true(greeting_decode(bytes, &got));
        g_assert_cmpint(got.version, ==, 7);
        g_assert_cmpint(got.security, ==, security);
        g_assert_cmpint(got.node, ==, 0x1234);
    }
}

/* The wire's form: other versions must find version and security there. */
static void test_layout(void)
{
    const Greeting sent = {
        .version = 1, .security = SECURITY_X509, .node = 0x0201,
    };
    static const uint8_t wanted[GREETING_BYTES] = {
        'D', 'I', 'S', 'T', 'K', 'V', 'M', 0, 1, 2, 1, 2,
    };
    uint8_t bytes[GREETING_BYTES];

    greeting_encode(&sent, bytes);
    g_assert_cmpmem(bytes, sizeof(bytes), wanted, sizeof(wanted));
}

/* Any flipped bit of the magic is no greeting. */
static void test_other_magic(void)
{
    const Greeting sent = { .version = GREETING_VERSION };
    Greeting got;

    for (unsigned bit = 0; bit < 64; bit++) {
        uint8_t bytes[GREETING_BYTES];

        greeting_encode(&sent, bytes);
        bytes[bit / 8] ^= 1 << bit % 8;
        g_assert_false(greeting_decode(bytes, &got));
    }
}

static void test_names(void)
{
    for (unsigned i = 0; i < SECURITY__MAX; i++) {
        for (unsigned j = 0; j < i; j++) {
            g_assert_cmpstr(security_name(i), !=, security_name(j));
        }
    }
    g_assert_nonnull(security_name(255));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/greeting/there-and-back", test_there_and_back);
    g_test_add_func("/greeting/layout", test_layout);
    g_test_add_func("/greeting/other-magic", test_other_magic);
    g_test_add_func("/greeting/names", test_names);
    return g_test_run();
}
