/*
 * How peers are reached
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "accel/distkvm/engine/connect.h"
#include "lane-fake.h"

static Connect connect_;
static Alive alive;
static Inbox inbox;
static const char *my_address;

const TransportListener inbox_listener;

void inbox_admit(Inbox *to, CohNodeId peer)
{
    g_assert_true(to == &inbox);
    fake_do("admit %d", peer);
}

void alive_connected(Alive *to, CohNodeId peer)
{
    g_assert_true(to == &alive);
    fake_do("not reached %d", peer);
}

/* ------------------------------------------------------------- transports */

static const void *fake_address(Transport *t, size_t *len)
{
    *len = strlen(my_address);
    return my_address;
}

static bool fake_connect(Transport *t, const TransportPeer *peer,
                         Error **errp)
{
    fake_do("connect %d to %d at %.*s", peer->self, peer->id,
            (int)peer->address_len,
            peer->address ? (const char *)peer->address : "its stream");
    return peer->id != 0;
}

static void fake_disconnect(Transport *t, CohNodeId peer)
{
    fake_do("disconnect %d", peer);
}

static char *fake_describe(Transport *t, CohNodeId peer)
{
    return g_strdup_printf("way to %d", peer);
}

static void fake_destroy(Transport *t)
{
    fake_do("destroy %s", t->ops->address ? "addressed" : "streams");
}

static const TransportOps addressed_ops = {
    .address = fake_address, .connect = fake_connect,
    .disconnect = fake_disconnect, .describe = fake_describe,
    .destroy = fake_destroy,
};
static const TransportOps stream_ops = {
    .connect = fake_connect, .disconnect = fake_disconnect,
    .describe = fake_describe, .destroy = fake_destroy,
};

static Transport *addressed_new(const TransportListener *listener,
                                void *opaque, Error **errp)
{
    static Transport transport = { .ops = &addressed_ops };

    g_assert_true(listener == &inbox_listener);
    g_assert_true(opaque == &inbox);
    return &transport;
}

static Transport *streams_new(const TransportListener *listener, void *opaque,
                              Error **errp)
{
    static Transport transport = { .ops = &stream_ops };

    return &transport;
}

static Transport *none_new(const TransportListener *listener, void *opaque,
                           Error **errp)
{
    return NULL;
}

static GByteArray *addresses(unsigned lanes)
{
    GByteArray *all = g_byte_array_new();

    for (unsigned n = 0; n < lanes; n++) {
        my_address = n ? "second" : "one";
        connect_append_address(&connect_, all);
    }
    return all;
}

static void setup(void)
{
    fake_init();
    memset(&connect_, 0, sizeof(connect_));
    connect_.alive = &alive;
    connect_.inbox = &inbox;
    connect_part.init(&connect_, &fake.ctx);
}

static void test_transports(void)
{
    setup();
    g_assert_false(connect_set_transport(&connect_, none_new, NULL));
    g_assert_null(fake.ctx.transport);
    g_assert_true(connect_set_transport(&connect_, addressed_new, NULL));
    g_assert_false(connect_set_transport(&connect_, none_new, NULL));
    g_assert_true(fake.ctx.transport->ops == &addressed_ops);
    fake_did("");
    g_assert_true(connect_set_transport(&connect_, streams_new, NULL));
    fake_did("destroy addressed");
    connect_drop_peer(&connect_, 2);
    fake_did("disconnect 2");
    connect_part.free(&connect_);
    fake_did("destroy streams");
}

static void test_addresses(void)
{
    GByteArray *all;
    TransportPeer peer = { .id = 2 };
    Error *err = NULL;
    char *path;

    setup();
    connect_set_transport(&connect_, addressed_new, NULL);
    all = addresses(2);
    g_assert_cmpmem(all->data, all->len, "\3\0one\6\0second", 13);
    peer.address = all->data;
    peer.address_len = all->len;
    g_assert_true(connect_peer(&connect_, &peer, &err));
    fake_did("connect 1 to 2 at one; not reached 2; admit 2");
    fake.ctx.lane = 1;
    g_assert_true(connect_peer(&connect_, &peer, &err));
    fake_did("connect 1 to 2 at second; not reached 2; admit 2");
    path = connect_describe(&connect_, 2);
    g_assert_cmpstr(path, ==, "way to 2");
    g_free(path);
    g_assert_null(connect_describe(&connect_, 0));
    /* It cannot be reached: there is no way to it. */
    peer.id = 0;
    g_assert_false(connect_peer(&connect_, &peer, &err));
    g_assert_null(connect_describe(&connect_, 0));
    g_byte_array_unref(all);
    connect_part.free(&connect_);
}

/* Of a peer: too short, for fewer lanes, or none where one is needed. */
static void test_malformed(void)
{
    GByteArray *all;
    TransportPeer peer = { .id = 2 };
    Error *err = NULL;

    setup();
    connect_set_transport(&connect_, addressed_new, NULL);
    all = addresses(1);
    for (unsigned len = 0; len < all->len; len++) {
        /* Of just these bytes, so that a read behind them is seen. */
        g_autofree void *bytes = g_memdup2(all->data, len);

        peer.address = bytes ?: "";
        peer.address_len = len;
        g_assert_false(connect_peer(&connect_, &peer, &err));
        g_assert_cmpstr(err->text, ==,
                        "distkvm: node 2 sent a malformed address");
        g_clear_pointer(&err, g_free);
    }
    peer.address = all->data;
    peer.address_len = all->len;
    fake.ctx.lane = 1;
    g_assert_false(connect_peer(&connect_, &peer, &err));
    g_clear_pointer(&err, g_free);
    peer.address = NULL;
    g_assert_false(connect_peer(&connect_, &peer, &err));
    g_clear_pointer(&err, g_free);
    g_assert_null(strstr(fake.did->str, "connect"));
    g_byte_array_unref(all);
    connect_part.free(&connect_);
}

static void test_streams(void)
{
    TransportPeer peer = { .id = 2 };
    Error *err = NULL;
    GByteArray *all;

    setup();
    connect_set_transport(&connect_, streams_new, NULL);
    all = addresses(2);
    g_assert_cmpint(all->len, ==, 0);
    g_byte_array_unref(all);
    g_assert_true(connect_peer(&connect_, &peer, &err));
    g_assert_true(g_str_has_prefix(fake.did->str, "connect 1 to 2 at "));
    connect_part.free(&connect_);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/connect/transports", test_transports);
    g_test_add_func("/connect/addresses", test_addresses);
    g_test_add_func("/connect/malformed", test_malformed);
    g_test_add_func("/connect/streams", test_streams);
    return g_test_run();
}
