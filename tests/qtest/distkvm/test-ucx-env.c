/*
 * distkvm: tests of the environment that UCX finds
 *
 * The linker puts a root of the test in front of /sys, where a host has RDMA
 * devices; warnings are kept instead of written.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "accel/distkvm/say.h"
#include "accel/distkvm/wire/transport-ucx-env.h"
#include "fake-root.h"

#define LO "127.0.0.1"
/* Of the loopback interface's network, and nobody's own. */
#define NOWHERE "127.0.0.2"

static char *root, *warning;

GDir *__wrap_g_dir_open(const char *path, guint flags, GError **err)
{
    g_autofree char *below = g_strconcat(root, path, NULL);

    return __real_g_dir_open(below, flags, err);
}

gboolean __wrap_g_file_test(const char *path, GFileTest test)
{
    g_autofree char *below = g_strconcat(root, path, NULL);

    return __real_g_file_test(below, test);
}

void say_warning(const char *fmt, ...)
{
    va_list ap;

    g_assert_null(warning);
    va_start(ap, fmt);
    warning = g_strdup_vprintf(fmt, ap);
    va_end(ap);
}

/* A host without RDMA, and a user who has chosen nothing. */
static void start(void)
{
    static const char *const names[] = {
        "UCX_NET_DEVICES", "UCX_TLS", "UCX_LOG_LEVEL",
    };

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        g_unsetenv(names[i]);
    }
    root = g_dir_make_tmp("distkvm-XXXXXX", NULL);
    g_clear_pointer(&warning, g_free);
}

static void end(void)
{
    g_clear_pointer(&root, g_free);
}

/* An RDMA device whose port is @interface; a path to be removed. */
static void add_rdma(const char *device, const char *interface, GPtrArray *made)
{
    const char *const parts[] = {
        "sys", "class", "infiniband", device, "device", "net", interface,
    };
    GString *path = g_string_new(root);

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        g_string_append_printf(path, "/%s", parts[i]);
        if (!mkdir(path->str, 0700)) {
            g_ptr_array_add(made, g_strdup(path->str));
        }
    }
    g_string_free(path, true);
}

static void remove_all(GPtrArray *made)
{
    while (made->len) {
        g_autofree char *path = g_ptr_array_remove_index(made, made->len - 1);

        rmdir(path);
    }
    g_ptr_array_free(made, true);
    rmdir(root);
}

static bool warns_of(const char *devices)
{
    g_autofree char *ports = g_strdup_printf("ports (%s) can write into",
                                             devices);

    return warning && strstr(warning, ports);
}

static void prepare(const char *host)
{
    g_assert_true(transport_ucx_prepare(host, &error_abort));
}

/* The interface of the address, and a warning that names it. */
static void test_interface(void)
{
    start();
    prepare(LO);
    g_assert_cmpstr(g_getenv("UCX_NET_DEVICES"), ==, "lo");
    g_assert_null(g_getenv("UCX_TLS"));
    g_assert_cmpstr(g_getenv("UCX_LOG_LEVEL"), ==, "warn");
    g_assert_true(warns_of("lo"));
    rmdir(root);
    end();
}

static void check_unshared(const char *tls, const char *wanted)
{
    g_autofree char *found = transport_ucx_unshared(tls);

    g_assert_cmpstr(found, ==, wanted);
}

/* Transports that UCX_TLS excludes stay excluded, and a list is not changed. */
static void test_unshared(void)
{
    check_unshared(NULL, "^sm");
    check_unshared("all", "^sm");
    check_unshared("^tcp", "^tcp,sm");
    check_unshared("tcp,self", NULL);
}

/* UCX would listen on every interface. */
static void test_nowhere(void)
{
    Error *err = NULL;

    start();
    g_assert_false(transport_ucx_prepare(NOWHERE, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "has this node's address "
                            NOWHERE));
    g_assert_nonnull(strstr(error_get_pretty(err), "set UCX_NET_DEVICES"));
    g_assert_null(g_getenv("UCX_NET_DEVICES"));
    g_assert_null(warning);
    error_free(err);
    rmdir(root);
    end();
}

/* The user's choice is taken, whatever the address is; and told. */
static void test_chosen(void)
{
    start();
    g_setenv("UCX_NET_DEVICES", "eth9", true);
    g_setenv("UCX_LOG_LEVEL", "debug", true);
    prepare(NOWHERE);
    g_assert_cmpstr(g_getenv("UCX_NET_DEVICES"), ==, "eth9");
    g_assert_null(g_getenv("UCX_TLS"));
    g_assert_cmpstr(g_getenv("UCX_LOG_LEVEL"), ==, "debug");
    g_assert_true(warns_of("eth9"));
    rmdir(root);
    end();
}

/* The RDMA device behind the interface, and then no TCP: no listener. */
static void test_rdma(void)
{
    GPtrArray *made = g_ptr_array_new();

    start();
    add_rdma("mlx5_0", "eth7", made);
    add_rdma("mlx5_1", "lo", made);
    add_rdma("mlx5_2", "eth8", made);
    prepare(LO);
    g_assert_cmpstr(g_getenv("UCX_NET_DEVICES"), ==, "mlx5_1:1");
    g_assert_cmpstr(g_getenv("UCX_TLS"), ==, "^tcp");
    g_assert_true(warns_of("mlx5_1:1"));
    remove_all(made);
    end();
}

/* The user may have chosen TCP: then the interface is what it needs. */
static void test_rdma_and_tls(void)
{
    GPtrArray *made = g_ptr_array_new();

    start();
    add_rdma("mlx5_1", "lo", made);
    g_setenv("UCX_TLS", "tcp,self", true);
    prepare(LO);
    g_assert_cmpstr(g_getenv("UCX_NET_DEVICES"), ==, "lo");
    g_assert_cmpstr(g_getenv("UCX_TLS"), ==, "tcp,self");
    remove_all(made);
    end();
}

/* An RDMA device that is another interface's does not matter. */
static void test_other_rdma(void)
{
    GPtrArray *made = g_ptr_array_new();

    start();
    add_rdma("mlx5_0", "eth7", made);
    prepare(LO);
    g_assert_cmpstr(g_getenv("UCX_NET_DEVICES"), ==, "lo");
    g_assert_null(g_getenv("UCX_TLS"));
    remove_all(made);
    end();
}

/* Shared memory is no network: nothing to choose, nothing to warn of. */
static void test_shared_memory(void)
{
    start();
    prepare(NULL);
    g_assert_null(g_getenv("UCX_NET_DEVICES"));
    g_assert_cmpstr(g_getenv("UCX_LOG_LEVEL"), ==, "fatal");
    g_assert_null(warning);
    rmdir(root);
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ucx-env/interface", test_interface);
    g_test_add_func("/ucx-env/unshared", test_unshared);
    g_test_add_func("/ucx-env/nowhere", test_nowhere);
    g_test_add_func("/ucx-env/chosen", test_chosen);
    g_test_add_func("/ucx-env/rdma", test_rdma);
    g_test_add_func("/ucx-env/rdma-and-tls", test_rdma_and_tls);
    g_test_add_func("/ucx-env/other-rdma", test_other_rdma);
    g_test_add_func("/ucx-env/shared-memory", test_shared_memory);
    return g_test_run();
}
