/*
 * distkvm: what the parts above the engine share
 *
 * One cluster per process.  Sections name the file that serves them.  Fields
 * are set before the main loop runs and constant afterwards, unless a comment
 * says otherwise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_INTERNAL_H
#define DISTKVM_INTERNAL_H

#include "qobject/qdict.h"
#include "hw/core/cpu.h"
#include "accel/distkvm/core/cpu-place.h"
#include "accel/distkvm/core/view.h"
#include "accel/distkvm/engine/engine.h"

/* The version of everything in this overlay that nodes must share. */
#define DISTKVM_VERSION "0.1.0"

typedef enum {
    DISTKVM_VMI_TCG,
    DISTKVM_VMI_KVM,
    DISTKVM_VMI_QTEST,
} DistKVMVmi;

/* Of the option transport=, in its order of words. */
typedef enum {
    DISTKVM_TRANSPORT_AUTO,
    DISTKVM_TRANSPORT_SHM,
    DISTKVM_TRANSPORT_TLS,
    DISTKVM_TRANSPORT_UCX,
} DistKVMTransport;

typedef struct DistKVM {
    /* configuration: accel.c, config.c */
    CohNodeId id;
    unsigned nodes;
    char **address;             /* of each node, "host:port", "unix:path"   */
    DistKVMTransport transport;
    char *no_shm;               /* why shared memory cannot be, or NULL     */
    char *cluster;
    DistKVMVmi vmi;
    const ClusterMap *map;      /* see core/cluster-map.h, "Versions"       */
    CpuPlaces cpus;             /* written under the BQL                    */
    SharedView view;            /* written by the member thread             */
    uint64_t ram_bytes;
    int64_t join_timeout_ms;
    int64_t dead_after_ms;
    EngineConfig engine_config;

    Engine *engine;
    /* atomic: a node is lost; nothing runs any more */
    bool failed;
    /* atomic: pages may be missing; what devices copy counts for nothing */
    bool fenced;
    /* atomic: guest resets so far; frames of another epoch are stale */
    uint32_t epoch;
} DistKVM;

/* NULL unless -accel distkvm is in use. */
extern DistKVM *distkvm;

static inline bool distkvm_is_boot_node(void)
{
    return distkvm->id == 0;
}

/* This node, and all nodes that have joined it.  Any thread. */
static inline CohNodeSet distkvm_members(void)
{
    return view_get(&distkvm->view).members;
}

/* Of vCPU @cpu, which may be any number; see core/cpu-place.h. */
static inline CohNodeId distkvm_cpu_node(uint32_t cpu)
{
    return cpu_place_get(&distkvm->cpus, cpu);
}

static inline bool distkvm_cpu_is_local(const CPUState *cpu)
{
    return distkvm_cpu_node(cpu->cpu_index) == distkvm->id;
}

/* The guest must stop for good, because of @why.  Any thread, any lock. */
void distkvm_fail(const char *why);
/* For those who ask: @node is lost, because of @why.  Any thread. */
void distkvm_lost(CohNodeId node, const char *why);
/* Nobody will answer this node any more: release whoever waits. */
void distkvm_release_waiters(void);

/* -------------------------------------------------------- config.c: parsing */

/* Parse "a/b/c" into the vCPUs' first places; NULL for even shares. */
bool distkvm_config_vcpus(DistKVM *d, const char *text, unsigned cpus,
                          Error **errp);
/* The same for shares of RAM, as sizes; they are rounded to stretches. */
bool distkvm_config_mem(DistKVM *d, const char *text, uint64_t bytes,
                        Error **errp);
/*
 * Parse the most RAM this node may hold; NULL: its share and a reserve if
 * shares were given, else any amount.  After distkvm_config_mem().
 */
bool distkvm_config_cap(DistKVM *d, const char *text, bool shares_given,
                        Error **errp);
/* Lanes of the engine, the same on all nodes.  After distkvm_config_mem(). */
bool distkvm_config_lanes(DistKVM *d, int64_t lanes, Error **errp);
bool distkvm_config_peers(DistKVM *d, const char *text, int64_t node,
                          Error **errp);
/* Are nodes reached by Unix sockets? */
bool distkvm_over_unix(const DistKVM *d);

/* ---------------------------------- cluster/path.c: what frames travel over */

/* The word of transport=; NULL: auto.  Before threads that use getenv(). */
bool distkvm_config_transport(DistKVM *d, const char *text, Error **errp);
const char *distkvm_transport_name(DistKVMTransport transport);
/* Set up what the option asks for.  The engine runs, membership not yet. */
bool distkvm_start_transport(DistKVM *d, Error **errp);

/* ---------------------------------- machine/refuse.c: what cannot work here */

bool distkvm_refuse_machine(MachineState *ms, Error **errp);
bool distkvm_refuse_devices(Error **errp);

/* ---------- machine/refuse-devices.c: devices and backends that cannot work */

/* From now on such a device is not made. */
void refuse_devices_init(void);
/* All devices of the start are there: look at those nobody asked for. */
bool refuse_devices_check(Error **errp);

/* ------------------------------------------- qmp.c: what management is told */

void distkvm_qmp_init(void);
/*
 * @node is lost, @why without its name: for the event and query-distkvm.  Said
 * again of the same node it does nothing.  Main loop, BQL held.
 */
void distkvm_qmp_node_lost(CohNodeId node, const char *why);
/* The first such node, and @why, or false.  The same. */
bool distkvm_qmp_first_lost(CohNodeId *node, const char **why);

/* ----------------------------------------------------- memory/ram.c: memory */

/* All backends are there: make them coherent and start the engine. */
bool distkvm_ram_start(Error **errp);
uint64_t distkvm_ram_bytes(void);

/* ------------------------------------ machine/service.c: work under the BQL */

void service_start(void);
/* Run @fn(@opaque) under the BQL, in order, on a thread that may block. */
void service_queue(void (*fn)(void *opaque), void *opaque);
/* The same in the main loop, where vCPUs can be paused. */
void service_queue_main(void (*fn)(void *opaque), void *opaque);

/* ---------------------------- cluster/member.c, cluster/hello.c: membership */

typedef enum {
    MEMBER_ABSENT,
    MEMBER_GREETING,    /* connected, hello not yet checked                 */
    MEMBER_JOINED,
    MEMBER_LEFT,
    MEMBER_LOST,
} MemberState;

void member_start(void);
/* Tell @to; takes over @message.  Any thread, any lock; never waits. */
void member_send(CohNodeId to, QDict *message);
/* Tell all others; takes over @message. */
void member_broadcast(QDict *message);
MemberState member_state(CohNodeId id);
/* @peer broke the rules: expel it.  Any thread. */
void member_expel(CohNodeId peer, const char *why);
/* A lane to @peer has ended: a loss, unless it leaves in good order. */
void member_closed(CohNodeId peer, const char *why);
/* The cluster ends in good order: a closed connection is no loss. */
void member_leaving(void);
/* When the members were pinged last, by get_clock(). */
int64_t member_last_tick_ms(void);
/* A new message of type @type for the caller to fill in. */
QDict *member_message(const char *type);
/* For query-distkvm: time since @id was heard of. */
int64_t member_silence_ms(CohNodeId id);

QDict *hello_make(void);
/* False and @errp, naming what differs and both values. */
bool hello_check(const QDict *ours, const QDict *theirs, CohNodeId *from,
                 Error **errp);

/* --------------------------------------- machine/cpu-model.c: part of hello */

QDict *cpu_model_make(void);

/* -------------------------------------------- machine/runstate.c: run state */

void control_init(void);
/* All nodes are connected with each other.  Main loop. */
void control_formed(void);
/* This node cannot join, because of @why, which was said.  Any thread. */
void control_cannot_join(const char *why);
/* The guest is lost: end, if that was asked for.  Main loop. */
void control_failed(void);
/* A message from @from that is not membership's own.  Member thread. */
void control_message(CohNodeId from, const QDict *message);
bool control_is_formed(void);
/* The cluster ends in good order.  Main loop. */
bool control_is_leaving(void);
/* The cluster ends and @peer has gone.  Member thread. */
void control_peer_left(CohNodeId peer);
/* Name what has waited for a peer for longer than @limit_ms.  Member thread. */
void control_watch(int64_t limit_ms);

/* --------------------------------- machine/replica.c: state all nodes share */

/*
 * Tell all others of a change and count acknowledgements.  BQL held.
 * Returns the change's number.
 */
uint64_t mirror_broadcast(QDict *message);
uint64_t mirror_last(void);
/* Run @fn under no lock when change @seq is acknowledged by all. */
void mirror_then(uint64_t seq, void (*fn)(void *opaque), void *opaque);
/* The running vCPU waits for its changes before it executes on.  BQL held. */
void mirror_wait_on_cpu(CPUState *cpu);
void mirror_acked(CohNodeId from, uint64_t seq);
/* Has @node had a map for a while, so that no older access is under way? */
bool mirror_has_settled(CohNodeId node);
/* Service thread: a change from a peer. */
void mirror_apply(CohNodeId from, const QDict *message);
void mirror_fail(void);
/*
 * Since when has the oldest change waited, by get_clock(), and for which node?
 * 0: all is acknowledged.
 */
int64_t mirror_waits_since_ns(CohNodeId *node);

/* ----------------------------------------- machine/irq.c, machine/apic-id.c */

/* In place of the accelerator's handle_interrupt.  BQL held. */
void irq_handle_interrupt(CPUState *cpu, int mask);
void irq_set_local_handler(void (*handler)(CPUState *cpu, int mask));
void irq_frame(const WireFrame *frame);
void apic_mirror_apply(CohNodeId from, const QDict *message);

/* -------------------------------------- machine/pic.c: the 8259.  BQL held. */

void pic_frame_in_service(const WireFrame *frame);
/* Node 0: take the interrupt for a vCPU of another node. */
uint64_t pic_serve_acknowledge(void);

/* ---------------------------------- machine/io.c, machine/memmap.c: devices */

void io_init(void);
void io_frame(const WireFrame *frame);
/* Ask node 0's 8259 for its vector; false if nobody answers.  vCPU thread. */
bool io_acknowledge(uint64_t *answer);
/* Wake whoever waits for an answer that will not come. */
void io_fail(void);
/* Since when has the oldest access waited, by get_clock()?  0: none waits. */
int64_t io_waits_since_ns(void);

void map_init(void);
void map_apply(const QDict *message);
/* Node 0: tell everyone the map as it is. */
void map_announce(void);
void map_rom_message(CohNodeId from, const QDict *message);

/* ------------------------------ vmi/tcg-code.c, vmi/tcg-lock.c: TCG's needs */

void code_init(void);
void code_page_revoked(CohPage page);
/* Local vCPUs leave their loop soon.  Any thread, any lock. */
void code_kick_all(void);
void token_frame(const WireFrame *frame);
void token_fail(void);
/*
 * Since when has this node waited for the token, by get_clock(), and for which
 * node, as far as it is known?  0: it does not wait.
 */
int64_t token_waits_since_ns(CohNodeId *node);

#endif
