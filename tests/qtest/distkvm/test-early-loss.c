/*
 * distkvm: a lane that breaks before membership looks for peers
 *
 * The linker puts __wrap_engine_start() in place of engine_start(): the lane
 * breaks as soon as its thread runs, while the node around it still starts.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "system/distkvm-memory.h"
#include "accel/distkvm/cluster/member.h"
#include "early-loss.h"

#define WHY "a test breaks this lane"

void __wrap_engine_start(Engine *e)
{
    __real_engine_start(e);
    member_broken(WHY);
}

/* The node ends because of that, and not for want of peers. */
static void test_broken(void)
{
    g_autofree char *dir = g_dir_make_tmp("distkvm-XXXXXX", NULL);
    g_autofree char *peers = g_strdup_printf("unix:2:%s", dir);
    g_autofree char *lock = g_strdup_printf("%s/node-0.sock.lock", dir);
    g_autofree char *socket = g_strdup_printf("%s/node-0.sock", dir);
    DistkvmInit init;
    char *why = NULL;

    distkvm_init_defaults(&init);
    init.node = 0;
    init.peers = peers;
    init.bytes = 4 << 20;
    init.join_timeout_s = 10;
    if (distkvm_init(&init, &why) == -EINVAL && strstr(why, "userfaultfd")) {
        g_test_skip(why);
    } else {
        g_assert_cmpstr(why, ==, WHY);
    }
    unlink(socket);
    unlink(lock);
    rmdir(dir);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/early-loss/broken", test_broken);
    return g_test_run();
}
