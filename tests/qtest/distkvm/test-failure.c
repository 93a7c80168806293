/*
 * distkvm: tests of what ends when a node is lost
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "accel/distkvm/failure.h"
#include "accel/distkvm/node.h"

/* A letter of each hook, in the order in which they ran. */
static char ran[16];
static bool fenced_at_release, fenced_at_stop;

static void note(void *opaque)
{
    const char *letter = opaque;

    g_strlcat(ran, letter, sizeof(ran));
    if (*letter == 'r') {
        fenced_at_release = failure_is_fenced();
    } else if (*letter == 's') {
        fenced_at_stop = failure_is_fenced();
    }
}

static void forget(void)
{
    ran[0] = '\0';
}

/* A node that leaves in good order ends waits, and nothing else. */
static void test_release(void)
{
    g_assert_false(failure_is_fenced());
    failure_release();
    g_assert_cmpstr(ran, ==, "frR");
    g_assert_true(fenced_at_release);
    g_assert_false(qatomic_read(&distkvm->failed));
    forget();
    failure_release();
    g_assert_cmpstr(ran, ==, "frR");
    forget();
}

/* Stages go in their order, whatever the order of registration; once. */
static void test_raise(void)
{
    failure_raise("a test says so");
    g_assert_cmpstr(ran, ==, "sfrRt");
    g_assert_true(qatomic_read(&distkvm->failed));
    failure_raise("a test says so again");
    g_assert_cmpstr(ran, ==, "sfrRt");
}

/* vCPUs stop before the fence shows anybody that pages are missing. */
static void test_stop_before_fence(void)
{
    if (g_test_subprocess()) {
        failure_raise("a test says so");
        g_assert_false(fenced_at_stop);
        g_assert_true(fenced_at_release);
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
}

/* Its words are those of a command's error, or not. */
static void test_words(void)
{
    if (g_test_subprocess()) {
        failure_raise("distkvm: a test says so");
        return;
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stderr("*distkvm: a test says so. Node 0*");
    g_test_trap_assert_stderr_unmatched("*distkvm: distkvm:*");
}

static void test_first_lost(void)
{
    const char *why;
    CohNodeId node;

    g_assert_false(failure_first_lost(&node, &why));
    g_assert_true(failure_note_lost(2, "it was silent"));
    g_assert_false(failure_note_lost(2, "it was silent for long"));
    g_assert_true(failure_note_lost(1, "it closed"));
    g_assert_true(failure_first_lost(&node, &why));
    g_assert_cmpint(node, ==, 2);
    g_assert_cmpstr(why, ==, "it was silent");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    distkvm = g_new0(DistKVM, 1);
    failure_init();
    failure_register(FAILURE_TELL, note, (void *)"t");
    failure_register(FAILURE_RELEASE, note, (void *)"r");
    failure_register(FAILURE_STOP_VCPUS, note, (void *)"s");
    failure_register(FAILURE_RELEASE, note, (void *)"R");
    failure_register(FAILURE_FENCE, note, (void *)"f");
    g_test_add_func("/failure/stop-before-fence", test_stop_before_fence);
    g_test_add_func("/failure/words", test_words);
    g_test_add_func("/failure/release", test_release);
    g_test_add_func("/failure/raise", test_raise);
    g_test_add_func("/failure/first-lost", test_first_lost);
    return g_test_run();
}
