/*
 * distkvm: the coherence protocol of one node
 *
 * Classifies an event, looks the cell up, and turns the cell's actions into
 * things to do.  All protocol knowledge is in coh-table.c; the guards are
 * here.  Spec: docs/protocol.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "coh-node.h"

static const char *const event_names[] = {
    "INVALID", "LOAD", "STORE", "FILL", "INSTALLED", "EVICT", "OPERATE",
    "GETS", "GETM", "GETO", "PUT", "GETV", "DONE",
    "FWD_GETS", "FWD_GETM", "INV", "DATA_S", "DATA_M", "ZERO", "GRANT", "ACK",
    "DROP", "FWD_GETV", "VALUE", "REFUSE",
};

const char *coh_event_name(unsigned type)
{
    return type < COH_EV__MAX ? event_names[type] : "?";
}

bool coh_event_is_message(unsigned type)
{
    return type >= COH_EV_GETS && type < COH_EV__MAX;
}

bool coh_event_is_for_home(unsigned type)
{
    return type >= COH_EV_GETS && type <= COH_EV_DONE;
}

bool coh_home_is_busy(unsigned state)
{
    return state == COH_HOME_S_B || state == COH_HOME_M_B;
}

size_t coh_node_peer_bytes(const ClusterMap *map)
{
    return map->pages * sizeof(CohPeer);
}

size_t coh_node_home_bytes(const ClusterMap *map, CohNodeId id)
{
    CohPage stretch = UINT64_C(1) << map->bits;

    return (map->share[id] + stretch - 1) / stretch * stretch *
           sizeof(CohHome);
}

size_t coh_node_index_bytes(const ClusterMap *map)
{
    return cluster_map_stretches(map) * sizeof(CohHome *);
}

void coh_node_set_homes(CohNode *node, CohHome **index, CohHome *entries)
{
    const ClusterMap *map = node->map;
    uint64_t stretches = cluster_map_stretches(map);

    node->home = index;
    node->entries = entries;
    for (uint64_t s = 0; s < stretches; s++) {
        bool own = map->home[s] == node->id;

        index[s] = own ? entries : NULL;
        entries += own ? UINT64_C(1) << map->bits : 0;
    }
}

static CohStatus broken(CohActions *out, const char *why)
{
    out->why = why;
    return COH_BROKEN;
}

static CohDo *add(CohActions *out, CohAct act)
{
    CohDo *d = &out->act[out->n++];

    *d = (CohDo) { .act = act, .requester = COH_NODE_NONE };
    return d;
}

static CohDo *add_send(CohActions *out, CohEventType msg, CohNodeId to)
{
    CohDo *d = add(out, COH_ACT_NONE);

    d->msg = msg;
    coh_set_add(&d->to, to);
    return d;
}

/* A message whose requester is not its receiver. */
static CohDo *add_forward(CohActions *out, CohEventType msg, CohNodeId to,
                          CohNodeId requester, int acks)
{
    CohDo *d = add_send(out, msg, to);

    d->requester = requester;
    d->acks = acks;
    return d;
}

/* INV to all of @holders but @spared; returns how many will acknowledge. */
static int add_inv(CohActions *out, const CohNodeSet *holders,
                   CohNodeId spared, CohNodeId requester)
{
    CohNodeSet others = *holders;
    CohDo *d;

    coh_set_remove(&others, spared);
    if (coh_set_is_empty(&others)) {
        return 0;
    }
    d = add(out, COH_ACT_NONE);
    d->msg = COH_EV_INV;
    d->requester = requester;
    d->to = others;
    return coh_set_count(&others);
}

/* ------------------------------------------------------------ peer side */

/* The guards: acks decide whether an answer is the last one awaited. */
static CohPeerEvent peer_classify(const CohPeer *peer, const CohEvent *ev)
{
    switch (ev->type) {
    case COH_EV_LOAD:
        return COH_PEV_LOAD;
    case COH_EV_STORE:
        return COH_PEV_STORE;
    case COH_EV_FILL:
        return COH_PEV_FILL;
    case COH_EV_FWD_GETS:
        return COH_PEV_FWD_GETS;
    case COH_EV_FWD_GETM:
        return COH_PEV_FWD_GETM;
    case COH_EV_INV:
        return COH_PEV_INV;
    case COH_EV_DATA_S:
        return COH_PEV_DATA_S;
    case COH_EV_DATA_M:
        return peer->acks + ev->acks == 0 ? COH_PEV_DATA_M_LAST
                                          : COH_PEV_DATA_M;
    case COH_EV_ZERO:
        return COH_PEV_ZERO;
    case COH_EV_GRANT:
        return peer->acks + ev->acks == 0 ? COH_PEV_GRANT_LAST
                                          : COH_PEV_GRANT;
    case COH_EV_ACK:
        return peer->acks == 1 ? COH_PEV_ACK_LAST : COH_PEV_ACK;
    case COH_EV_INSTALLED:
        return COH_PEV_INSTALLED;
    case COH_EV_EVICT:
        return COH_PEV_EVICT;
    case COH_EV_DROP:
        return COH_PEV_DROP;
    case COH_EV_OPERATE:
        return COH_PEV_OPERATE;
    case COH_EV_FWD_GETV:
        return COH_PEV_FWD_GETV;
    case COH_EV_VALUE:
        return COH_PEV_VALUE;
    case COH_EV_REFUSE:
        return COH_PEV_REFUSE;
    default:
        return COH_PEV__MAX;
    }
}

static int peer_acks_after(const CohPeer *peer, const CohEvent *ev)
{
    switch (ev->type) {
    case COH_EV_DATA_M:
    case COH_EV_GRANT:
        return peer->acks + ev->acks;
    case COH_EV_ACK:
        return peer->acks - 1;
    default:
        return peer->acks;
    }
}

static void peer_act(const CohNode *node, const CohEvent *ev, CohAct act,
                     CohActions *out)
{
    CohNodeId home = cluster_map_home(node->map, ev->page);

    switch (act) {
    case COH_ACT_NONE:
        break;
    case COH_ACT_SEND_GETS:
        add_send(out, COH_EV_GETS, home);
        break;
    case COH_ACT_SEND_GETM:
        add_send(out, COH_EV_GETM, home);
        break;
    case COH_ACT_SEND_GETO:
        add_send(out, COH_EV_GETO, home);
        break;
    case COH_ACT_SEND_PUT:
        add_send(out, COH_EV_PUT, home);
        break;
    case COH_ACT_SEND_DONE:
        add_send(out, COH_EV_DONE, home);
        break;
    case COH_ACT_SEND_GETV:
        add_send(out, COH_EV_GETV, home);
        break;
    case COH_ACT_SEND_VALUE:
        add_send(out, COH_EV_VALUE, ev->requester);
        break;
    case COH_ACT_SEND_DATA_S:
        add_send(out, COH_EV_DATA_S, ev->requester)->data = true;
        break;
    case COH_ACT_SEND_DATA_M:
        add_forward(out, COH_EV_DATA_M, ev->requester, COH_NODE_NONE,
                    ev->acks)->data = true;
        break;
    case COH_ACT_SEND_ACK:
        add_send(out, COH_EV_ACK, ev->requester);
        break;
    default:
        add(out, act);
        break;
    }
}

static bool is_of_home(unsigned type)
{
    return type == COH_EV_FWD_GETS || type == COH_EV_FWD_GETM ||
           type == COH_EV_INV || type == COH_EV_ZERO ||
           type == COH_EV_GRANT || type == COH_EV_DROP ||
           type == COH_EV_FWD_GETV || type == COH_EV_REFUSE;
}

static CohStatus peer_step(CohNode *node, const CohEvent *ev, CohActions *out)
{
    CohPeer *peer = &node->peer[ev->page];
    CohPeerEvent event = peer_classify(peer, ev);
    const CohRow *row;
    int acks;

    if (event == COH_PEV__MAX) {
        return broken(out, "not an event of the peer side");
    }
    if (is_of_home(ev->type) &&
        ev->from != cluster_map_home(node->map, ev->page)) {
        return broken(out, "only the page's home may say this");
    }
    if ((ev->type == COH_EV_FWD_GETS || ev->type == COH_EV_FWD_GETM ||
         ev->type == COH_EV_INV) &&
        (ev->requester >= node->map->nodes || ev->requester == node->id)) {
        return broken(out, "a forwarded request names no other node");
    }
    /* It may have become the owner since it asked. */
    if (ev->type == COH_EV_FWD_GETV && ev->requester >= node->map->nodes) {
        return broken(out, "a forwarded operation names no node");
    }
    acks = peer_acks_after(peer, ev);
    if (acks < -COH_NODES_MAX || acks > COH_NODES_MAX) {
        return broken(out, "more acks than nodes");
    }

    row = &coh_peer_table[peer->state][event];
    out->state = peer->state;
    out->event = event;
    out->next = row->next;
    if (row->kind != COH_ROW_STEP) {
        return row->kind == COH_ROW_STALL ? COH_STALLED
                                          : broken(out, row->why);
    }
    peer->state = row->next;
    peer->acks = acks;
    for (int i = 0; i < COH_ROW_ACTS_MAX; i++) {
        peer_act(node, ev, row->acts[i], out);
    }
    return COH_OK;
}

/* ------------------------------------------------------------ home side */

/* Nodes that could give the page; none while the home is busy. */
static CohNodeSet home_holders(const CohHome *home)
{
    switch (home->state) {
    case COH_HOME_S:
        return home->sharers;
    case COH_HOME_M:
        return coh_set_one(home->owner);
    default:
        return coh_set_empty();
    }
}

static bool home_is_holder(const CohHome *home, CohNodeId node)
{
    CohNodeSet holders = home_holders(home);

    return coh_set_has(&holders, node);
}

/* Nothing can be given up that only the home has. */
static CohHomeEvent home_classify_put(const CohNode *node, const CohHome *home,
                                      const CohEvent *ev)
{
    CohNodeSet holders = home_holders(home);

    if (!coh_set_has(&holders, ev->from)) {
        return COH_HEV_PUT_STALE;
    }
    if (!coh_set_is_only(&holders, ev->from)) {
        return COH_HEV_PUT_SHARED;
    }
    return ev->from == node->id ? COH_HEV_PUT_STALE : COH_HEV_PUT_LAST;
}

static CohHomeEvent home_classify(const CohNode *node, const CohHome *home,
                                  const CohEvent *ev)
{
    switch (ev->type) {
    case COH_EV_GETS:
        return COH_HEV_GETS;
    case COH_EV_GETM:
        return (home->state == COH_HOME_S || home->state == COH_HOME_S_B) &&
               coh_set_has(&home->sharers, ev->from) ? COH_HEV_UPGRADE
                                                     : COH_HEV_GETM;
    case COH_EV_GETO:
        return COH_HEV_GETO;
    case COH_EV_PUT:
        return home_classify_put(node, home, ev);
    case COH_EV_GETV:
        return COH_HEV_GETV;
    default:
        return COH_HEV_DONE;
    }
}

/*
 * The supplier is the home itself if it can be (one message less), else one of
 * the holders, picked by the requester's number.
 */
static CohNodeId home_supplier(const CohNode *node, const CohNodeSet *holders,
                               const CohEvent *ev)
{
    return coh_set_has(holders, node->id) ? node->id
                                          : coh_set_pick(holders, ev->from);
}

static void home_act(const CohNode *node, const CohHome *home,
                     const CohEvent *ev, CohAct act, CohActions *out)
{
    CohNodeSet holders;
    CohNodeId supplier;
    int acks;

    switch (act) {
    case COH_ACT_SEND_ZERO:
        add_send(out, COH_EV_ZERO, ev->from);
        break;
    case COH_ACT_FWD_GETS:
        holders = home_holders(home);
        supplier = home_supplier(node, &holders, ev);
        add_forward(out, COH_EV_FWD_GETS, supplier, ev->from, 0);
        break;
    case COH_ACT_FWD_GETM_INV:
        holders = home_holders(home);
        supplier = home_supplier(node, &holders, ev);
        acks = add_inv(out, &holders, supplier, ev->from);
        add_forward(out, COH_EV_FWD_GETM, supplier, ev->from, acks);
        break;
    case COH_ACT_SEND_DROP:
        add_send(out, COH_EV_DROP, ev->from);
        break;
    case COH_ACT_FWD_GETV:
        add_forward(out, COH_EV_FWD_GETV, home->owner, ev->from, 0);
        break;
    case COH_ACT_SEND_REFUSE:
        add_send(out, COH_EV_REFUSE, ev->from);
        break;
    case COH_ACT_ADOPT:
        add(out, act);
        break;
    case COH_ACT_INV_GRANT:
        holders = home_holders(home);
        acks = add_inv(out, &holders, ev->from, ev->from);
        add_forward(out, COH_EV_GRANT, ev->from, COH_NODE_NONE, acks);
        break;
    default:
        break;
    }
}

/* Record the outcome at once: until DONE no other request is let in. */
static void home_record(CohHome *home, const CohEvent *ev, uint8_t next)
{
    switch (next) {
    case COH_HOME_S_B:
        if (ev->type == COH_EV_PUT) {
            coh_set_remove(&home->sharers, ev->from);
        } else {
            home->sharers = home_holders(home);
            coh_set_add(&home->sharers, ev->from);
        }
        home->owner = COH_NODE_NONE;
        home->requester = ev->from;
        break;
    case COH_HOME_M_B:
        home->sharers = coh_set_empty();
        /* An operation leaves the page where it is, and its owner is done. */
        home->owner = ev->type == COH_EV_GETV ? home->owner : ev->from;
        home->requester = home->owner;
        break;
    default:
        home->requester = COH_NODE_NONE;
        break;
    }
    home->state = next;
}

static CohStatus home_step(CohNode *node, const CohEvent *ev, CohActions *out)
{
    CohHome *home = coh_node_home(node, ev->page);
    CohHomeEvent event = home_classify(node, home, ev);
    const CohRow *row = &coh_home_table[home->state][event];

    out->home = true;
    out->state = home->state;
    out->event = event;
    out->next = row->next;
    if (row->kind != COH_ROW_STEP) {
        return row->kind == COH_ROW_STALL ? COH_STALLED
                                          : broken(out, row->why);
    }
    if (event == COH_HEV_DONE) {
        if (home->requester != ev->from) {
            return broken(out, "DONE from a node that did not ask");
        }
    } else if (event <= COH_HEV_GETO && home_is_holder(home, ev->from)) {
        return broken(out, "a holder asks for what it holds");
    }
    for (int i = 0; i < COH_ROW_ACTS_MAX; i++) {
        home_act(node, home, ev, row->acts[i], out);
    }
    /* Same state: a hint that changes nothing. */
    if (row->next != home->state) {
        home_record(home, ev, row->next);
    }
    return COH_OK;
}

CohStatus coh_step(CohNode *node, const CohEvent *ev, CohActions *out)
{
    CohNodeId home = cluster_map_home(node->map, ev->page);

    *out = (CohActions) { 0 };
    if (home == COH_NODE_NONE) {
        return broken(out, "no such page");
    }
    if (ev->from >= node->map->nodes) {
        return broken(out, "no such node");
    }
    if (coh_event_is_for_home(ev->type)) {
        if (home != node->id) {
            return broken(out, "this node is not the page's home");
        }
        return home_step(node, ev, out);
    }
    return peer_step(node, ev, out);
}
