/*
 * distkvm: the environment that UCX finds
 *
 * UCX reads most of its settings there, once, while it is being loaded.  So
 * they are made before threads run: setenv() and getenv() of two threads
 * collide.  So they are not taken away either: UCX reads the rest when a worker
 * is made, and threads run by then.  Programs that QEMU starts inherit them.
 * Main thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <ifaddrs.h>
#include <netdb.h>
#include <sys/shm.h>
#include "qapi/error.h"
#include "accel/distkvm/say.h"
#include "transport-ucx-env.h"

static bool is_address_of(const struct sockaddr *a, const struct sockaddr *b)
{
    if (!a || a->sa_family != b->sa_family) {
        return false;
    }
    return a->sa_family == AF_INET
           ? ((struct sockaddr_in *)a)->sin_addr.s_addr ==
             ((struct sockaddr_in *)b)->sin_addr.s_addr
           : a->sa_family == AF_INET6 &&
             !memcmp(&((struct sockaddr_in6 *)a)->sin6_addr,
                     &((struct sockaddr_in6 *)b)->sin6_addr,
                     sizeof(struct in6_addr));
}

/* The interface that has @host's address, or NULL; g_free. */
static char *interface_of(const char *host)
{
    struct ifaddrs *all = NULL;
    struct addrinfo *found = NULL;
    char *name = NULL;

    if (!getaddrinfo(host, NULL, NULL, &found) && !getifaddrs(&all)) {
        for (struct addrinfo *a = found; a && !name; a = a->ai_next) {
            for (struct ifaddrs *i = all; i && !name; i = i->ifa_next) {
                name = is_address_of(i->ifa_addr, a->ai_addr)
                       ? g_strdup(i->ifa_name) : NULL;
            }
        }
    }
    if (found) {
        freeaddrinfo(found);
    }
    if (all) {
        freeifaddrs(all);
    }
    return name;
}

/* The RDMA device behind an interface, as UCX names it, or NULL; g_free. */
static char *rdma_device_of(const char *interface)
{
    g_autoptr(GDir) dir = g_dir_open("/sys/class/infiniband", 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *net = g_strdup_printf(
            "/sys/class/infiniband/%s/device/net/%s", name, interface);

        if (g_file_test(net, G_FILE_TEST_EXISTS)) {
            return g_strdup_printf("%s:1", name);
        }
    }
    return NULL;
}

static bool choose_devices(const char *host, Error **errp)
{
    g_autofree char *interface = interface_of(host);
    g_autofree char *rdma = interface ? rdma_device_of(interface) : NULL;

    if (g_getenv("UCX_NET_DEVICES")) {
        return true;
    }
    if (!interface) {
        error_setg(errp, "distkvm: transport=ucx: no interface of this host"
                   " has this node's address %s, and UCX would listen on all;"
                   " set UCX_NET_DEVICES in the environment", host);
        return false;
    }
    if (rdma && !g_getenv("UCX_TLS")) {
        /* Without TCP there is no listener. */
        g_setenv("UCX_TLS", "^tcp", true);
        g_setenv("UCX_NET_DEVICES", rdma, true);
    } else {
        g_setenv("UCX_NET_DEVICES", interface, true);
    }
    return true;
}

bool transport_ucx_prepare(const char *host, Error **errp)
{
    /* UCX must leave QEMU's mmap, malloc and SIGBUS handling alone. */
    g_setenv("UCX_MEM_EVENTS", "n", true);
    g_setenv("UCX_ERROR_SIGNALS", "", true);
    g_setenv("UCX_HANDLE_ERRORS", "none", false);
    /* Without this the error-handling mode silently drops shared memory. */
    g_setenv("UCX_POSIX_ERROR_HANDLING", "y", false);
    g_setenv("UCX_SYSV_ERROR_HANDLING", "y", false);
    /* It says why an interface cannot be used, and of a lost peer nothing. */
    g_setenv("UCX_LOG_LEVEL", host ? "warn" : "fatal", false);
    g_setenv("UCX_WARN_UNUSED_ENV_VARS", "n", false);
    /* Standard output may be the guest's console. */
    g_setenv("UCX_LOG_FILE", "stderr", false);
    if (host) {
        if (!choose_devices(host, errp)) {
            return false;
        }
        say_warning("distkvm: transport=ucx: UCX checks neither senders nor"
                    " contents: a host that reaches its ports (%s) can write"
                    " into this process; use it where every host of the"
                    " network is trusted", g_getenv("UCX_NET_DEVICES"));
    }
    return true;
}

char *transport_ucx_unshared(const char *tls)
{
    if (!tls || !strcmp(tls, "all")) {
        return g_strdup("^sm");
    }
    return *tls == '^' ? g_strdup_printf("%s,sm", tls) : NULL;
}

/*
 * UCX gives its group the right to open a segment, and has no call that lists
 * its segments; the kernel has.
 */
void transport_shm_guard(void)
{
    g_autofree char *text = NULL;
    g_auto(GStrv) line = NULL;

    if (!g_file_get_contents("/proc/sysvipc/shm", &text, NULL, NULL)) {
        return;
    }
    line = g_strsplit(text, "\n", -1);
    for (char **at = line; *at; at++) {
        struct shmid_ds segment;
        int id, pid;
        unsigned mode;

        if (sscanf(*at, "%*d %d %o %*u %d", &id, &mode, &pid) == 3 &&
            pid == getpid() && (mode & 077) &&
            !shmctl(id, IPC_STAT, &segment)) {
            segment.shm_perm.mode = 0600;
            shmctl(id, IPC_SET, &segment);
        }
    }
}
