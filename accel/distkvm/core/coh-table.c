/*
 * distkvm: the coherence protocol, as two tables
 *
 * Everything that may happen to a page is a cell here; there is no second
 * copy of the protocol.  The home serialises: from granting a request until
 * the requester's DONE it accepts nothing else for that page, so no message
 * of a later transaction can meet an earlier one, in any order of delivery.
 * Pure data.  Spec: docs/protocol.rst.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "coh-table.h"

#define ROW(st, ev, nx, ...) \
    [COH_PEER_##st][COH_PEV_##ev] = \
        { COH_ROW_STEP, COH_PEER_##nx, { __VA_ARGS__ }, NULL }
#define NEVER(st, ev, because) \
    [COH_PEER_##st][COH_PEV_##ev] = { .kind = COH_ROW_NEVER, .why = because }

#define HROW(st, ev, nx, ...) \
    [COH_HOME_##st][COH_HEV_##ev] = \
        { COH_ROW_STEP, COH_HOME_##nx, { __VA_ARGS__ }, NULL }
#define HSTALL(st, ev) \
    [COH_HOME_##st][COH_HEV_##ev] = { .kind = COH_ROW_STALL }
#define HNEVER(st, ev, because) \
    [COH_HOME_##st][COH_HEV_##ev] = { .kind = COH_ROW_NEVER, .why = because }

#define NOT_ASKED   "an answer comes only to a node that asked"
#define NO_COPY     "the home asks only nodes it records as holders"
#define BUSY        "the home is busy until this node's DONE"
#define NOT_INST    "nothing is being installed"
#define WANTS_S     "this node asked to read, not to write"
#define WANTS_M     "this node asked to write, not to read"
#define HAD_COPY    "the home grants an upgrade only to a sharer"
#define HAS_COPY    "the home sends no data to a sharer"
#define OWNED       "a page with an owner has no sharers"
#define PUT_BUSY    "a busy home takes every hint as stale"
#define NOT_OWNER   "the home asks the owner only, and waits for its DONE"
#define HAS_DATA    "one request gets one answer"
#define ABSENT      "only an absent page is filled"
#define NO_BYTES    "this node asked for the page without its bytes"

/* Operating on a word moves no page, so it meets a page in any state. */
COH_TABLE_CONST CohRow coh_peer_table[COH_PEER__MAX][COH_PEV__MAX] = {
    ROW(I, LOAD,            IS_D,   COH_ACT_SEND_GETS),
    ROW(I, STORE,           IM_AD,  COH_ACT_SEND_GETM),
    /* The bytes that are to come are kept until no other node has the page. */
    ROW(I, FILL,            IF_AD,  COH_ACT_KEEP, COH_ACT_SEND_GETO),
    NEVER(I, FWD_GETS,      NO_COPY),
    NEVER(I, FWD_GETM,      NO_COPY),
    NEVER(I, INV,           NO_COPY),
    NEVER(I, DATA_S,        NOT_ASKED),
    NEVER(I, DATA_M,        NOT_ASKED),
    NEVER(I, DATA_M_LAST,   NOT_ASKED),
    NEVER(I, ZERO,          NOT_ASKED),
    NEVER(I, GRANT,         NOT_ASKED),
    NEVER(I, GRANT_LAST,    NOT_ASKED),
    NEVER(I, ACK,           NOT_ASKED),
    NEVER(I, ACK_LAST,      NOT_ASKED),
    NEVER(I, INSTALLED,     NOT_INST),
    ROW(I, EVICT,           I,      COH_ACT_NONE),
    NEVER(I, DROP,          NO_COPY),
    ROW(I, OPERATE,     I,      COH_ACT_SEND_GETV),
    NEVER(I, FWD_GETV,  NOT_OWNER),
    ROW(I, VALUE,       I,      COH_ACT_ANSWER),
    ROW(I, REFUSE,      I,      COH_ACT_FETCH),

    /* A thread may fault, sleep, and be seen only after the page came. */
    ROW(S, LOAD,            S,      COH_ACT_WAKE),
    ROW(S, STORE,           SM_AD,  COH_ACT_SEND_GETM),
    NEVER(S, FILL,          ABSENT),
    ROW(S, FWD_GETS,        S,      COH_ACT_COPY, COH_ACT_SEND_DATA_S),
    /* The copy is gone before anyone else may write: take, then send. */
    ROW(S, FWD_GETM,        I,      COH_ACT_TAKE, COH_ACT_SEND_DATA_M),
    ROW(S, INV,             I,      COH_ACT_ZAP, COH_ACT_SEND_ACK),
    NEVER(S, DATA_S,        NOT_ASKED),
    NEVER(S, DATA_M,        NOT_ASKED),
    NEVER(S, DATA_M_LAST,   NOT_ASKED),
    NEVER(S, ZERO,          NOT_ASKED),
    NEVER(S, GRANT,         NOT_ASKED),
    NEVER(S, GRANT_LAST,    NOT_ASKED),
    NEVER(S, ACK,           NOT_ASKED),
    NEVER(S, ACK_LAST,      NOT_ASKED),
    NEVER(S, INSTALLED,     NOT_INST),
    ROW(S, EVICT,           S,      COH_ACT_SEND_PUT),
    ROW(S, DROP,            I,      COH_ACT_ZAP, COH_ACT_SEND_DONE),
    ROW(S, OPERATE,     S,      COH_ACT_SEND_GETV),
    NEVER(S, FWD_GETV,  NOT_OWNER),
    ROW(S, VALUE,       S,      COH_ACT_ANSWER),
    ROW(S, REFUSE,      S,      COH_ACT_FETCH),

    ROW(M, LOAD,            M,      COH_ACT_WAKE),
    ROW(M, STORE,           M,      COH_ACT_WAKE),
    NEVER(M, FILL,          ABSENT),
    /* A read never takes ownership away for good: the owner keeps a copy. */
    ROW(M, FWD_GETS,        S,      COH_ACT_PROTECT, COH_ACT_COPY,
                                    COH_ACT_SEND_DATA_S),
    ROW(M, FWD_GETM,        I,      COH_ACT_TAKE, COH_ACT_SEND_DATA_M),
    /* Its bytes are to be overwritten, all of them. */
    ROW(M, INV,             I,      COH_ACT_ZAP, COH_ACT_SEND_ACK),
    NEVER(M, DATA_S,        NOT_ASKED),
    NEVER(M, DATA_M,        NOT_ASKED),
    NEVER(M, DATA_M_LAST,   NOT_ASKED),
    NEVER(M, ZERO,          NOT_ASKED),
    NEVER(M, GRANT,         NOT_ASKED),
    NEVER(M, GRANT_LAST,    NOT_ASKED),
    NEVER(M, ACK,           NOT_ASKED),
    NEVER(M, ACK_LAST,      NOT_ASKED),
    NEVER(M, INSTALLED,     NOT_INST),
    ROW(M, EVICT,           M,      COH_ACT_SEND_PUT),
    NEVER(M, DROP,          OWNED),
    ROW(M, OPERATE,         M,      COH_ACT_OPERATE, COH_ACT_ANSWER),
    ROW(M, FWD_GETV,        M,      COH_ACT_OPERATE, COH_ACT_SEND_VALUE,
                                    COH_ACT_SEND_DONE),
    ROW(M, VALUE,       M,      COH_ACT_ANSWER),
    ROW(M, REFUSE,      M,      COH_ACT_FETCH),

    /* A thread that faults while a request is out is woken when that ends. */
    ROW(IS_D, LOAD,         IS_D,   COH_ACT_NONE),
    ROW(IS_D, STORE,        IS_D,   COH_ACT_NONE),
    NEVER(IS_D, FILL,       ABSENT),
    NEVER(IS_D, FWD_GETS,   NO_COPY),
    NEVER(IS_D, FWD_GETM,   NO_COPY),
    NEVER(IS_D, INV,        NO_COPY),
    ROW(IS_D, DATA_S,       XS_I,   COH_ACT_INSTALL_RO),
    NEVER(IS_D, DATA_M,     WANTS_S),
    NEVER(IS_D, DATA_M_LAST, WANTS_S),
    /* Untouched: no other node holds it, so the reader may as well own it. */
    ROW(IS_D, ZERO,         XM_I,   COH_ACT_INSTALL_ZERO),
    NEVER(IS_D, GRANT,      HAD_COPY),
    NEVER(IS_D, GRANT_LAST, HAD_COPY),
    NEVER(IS_D, ACK,        WANTS_S),
    NEVER(IS_D, ACK_LAST,   WANTS_S),
    NEVER(IS_D, INSTALLED,  NOT_INST),
    ROW(IS_D, EVICT,        IS_D,   COH_ACT_NONE),
    NEVER(IS_D, DROP,       NO_COPY),
    ROW(IS_D, OPERATE,  IS_D,   COH_ACT_SEND_GETV),
    NEVER(IS_D, FWD_GETV, NOT_OWNER),
    ROW(IS_D, VALUE,    IS_D,   COH_ACT_ANSWER),
    ROW(IS_D, REFUSE,   IS_D,   COH_ACT_FETCH),

    ROW(IM_AD, LOAD,        IM_AD,  COH_ACT_NONE),
    ROW(IM_AD, STORE,       IM_AD,  COH_ACT_NONE),
    NEVER(IM_AD, FILL,      ABSENT),
    NEVER(IM_AD, FWD_GETS,  NO_COPY),
    NEVER(IM_AD, FWD_GETM,  NO_COPY),
    NEVER(IM_AD, INV,       NO_COPY),
    NEVER(IM_AD, DATA_S,    WANTS_M),
    ROW(IM_AD, DATA_M,      IM_A,   COH_ACT_KEEP),
    ROW(IM_AD, DATA_M_LAST, XM_I,   COH_ACT_INSTALL_RW),
    ROW(IM_AD, ZERO,        XM_I,   COH_ACT_INSTALL_ZERO),
    NEVER(IM_AD, GRANT,     HAD_COPY),
    NEVER(IM_AD, GRANT_LAST, HAD_COPY),
    /* Acks may overtake the data that says how many there are. */
    ROW(IM_AD, ACK,         IM_AD,  COH_ACT_NONE),
    NEVER(IM_AD, ACK_LAST,  "the last ack is known only with the data"),
    NEVER(IM_AD, INSTALLED, NOT_INST),
    ROW(IM_AD, EVICT,       IM_AD,  COH_ACT_NONE),
    NEVER(IM_AD, DROP,      NO_COPY),
    ROW(IM_AD, OPERATE, IM_AD,  COH_ACT_SEND_GETV),
    NEVER(IM_AD, FWD_GETV, NOT_OWNER),
    ROW(IM_AD, VALUE,   IM_AD,  COH_ACT_ANSWER),
    ROW(IM_AD, REFUSE,  IM_AD,  COH_ACT_FETCH),

    ROW(IM_A, LOAD,         IM_A,   COH_ACT_NONE),
    ROW(IM_A, STORE,        IM_A,   COH_ACT_NONE),
    NEVER(IM_A, FILL,       ABSENT),
    NEVER(IM_A, FWD_GETS,   BUSY),
    NEVER(IM_A, FWD_GETM,   BUSY),
    NEVER(IM_A, INV,        BUSY),
    NEVER(IM_A, DATA_S,     HAS_DATA),
    NEVER(IM_A, DATA_M,     HAS_DATA),
    NEVER(IM_A, DATA_M_LAST, HAS_DATA),
    NEVER(IM_A, ZERO,       HAS_DATA),
    NEVER(IM_A, GRANT,      HAS_DATA),
    NEVER(IM_A, GRANT_LAST, HAS_DATA),
    ROW(IM_A, ACK,          IM_A,   COH_ACT_NONE),
    ROW(IM_A, ACK_LAST,     XM_I,   COH_ACT_INSTALL_KEPT),
    NEVER(IM_A, INSTALLED,  NOT_INST),
    ROW(IM_A, EVICT,        IM_A,   COH_ACT_NONE),
    NEVER(IM_A, DROP,       BUSY),
    ROW(IM_A, OPERATE,  IM_A,   COH_ACT_SEND_GETV),
    NEVER(IM_A, FWD_GETV, NOT_OWNER),
    ROW(IM_A, VALUE,    IM_A,   COH_ACT_ANSWER),
    ROW(IM_A, REFUSE,   IM_A,   COH_ACT_FETCH),

    ROW(SM_AD, LOAD,        SM_AD,  COH_ACT_WAKE),
    ROW(SM_AD, STORE,       SM_AD,  COH_ACT_NONE),
    NEVER(SM_AD, FILL,      ABSENT),
    ROW(SM_AD, FWD_GETS,    SM_AD,  COH_ACT_COPY, COH_ACT_SEND_DATA_S),
    /* Another writer came first: our own request now needs the data too. */
    ROW(SM_AD, FWD_GETM,    IM_AD,  COH_ACT_TAKE, COH_ACT_SEND_DATA_M),
    ROW(SM_AD, INV,         IM_AD,  COH_ACT_ZAP, COH_ACT_SEND_ACK),
    NEVER(SM_AD, DATA_S,    WANTS_M),
    NEVER(SM_AD, DATA_M,    HAS_COPY),
    NEVER(SM_AD, DATA_M_LAST, HAS_COPY),
    NEVER(SM_AD, ZERO,      HAS_COPY),
    ROW(SM_AD, GRANT,       SM_A,   COH_ACT_NONE),
    ROW(SM_AD, GRANT_LAST,  XM_I,   COH_ACT_UNPROTECT),
    ROW(SM_AD, ACK,         SM_AD,  COH_ACT_NONE),
    NEVER(SM_AD, ACK_LAST,  "the last ack is known only with the grant"),
    NEVER(SM_AD, INSTALLED, NOT_INST),
    ROW(SM_AD, EVICT,       SM_AD,  COH_ACT_NONE),
    /* It wants to write by now; the home will see that next. */
    ROW(SM_AD, DROP,        IM_AD,  COH_ACT_ZAP, COH_ACT_SEND_DONE),
    ROW(SM_AD, OPERATE, SM_AD,  COH_ACT_SEND_GETV),
    NEVER(SM_AD, FWD_GETV, NOT_OWNER),
    ROW(SM_AD, VALUE,   SM_AD,  COH_ACT_ANSWER),
    ROW(SM_AD, REFUSE,  SM_AD,  COH_ACT_FETCH),

    ROW(SM_A, LOAD,         SM_A,   COH_ACT_WAKE),
    ROW(SM_A, STORE,        SM_A,   COH_ACT_NONE),
    NEVER(SM_A, FILL,       ABSENT),
    NEVER(SM_A, FWD_GETS,   BUSY),
    NEVER(SM_A, FWD_GETM,   BUSY),
    NEVER(SM_A, INV,        BUSY),
    NEVER(SM_A, DATA_S,     HAS_DATA),
    NEVER(SM_A, DATA_M,     HAS_DATA),
    NEVER(SM_A, DATA_M_LAST, HAS_DATA),
    NEVER(SM_A, ZERO,       HAS_DATA),
    NEVER(SM_A, GRANT,      HAS_DATA),
    NEVER(SM_A, GRANT_LAST, HAS_DATA),
    ROW(SM_A, ACK,          SM_A,   COH_ACT_NONE),
    ROW(SM_A, ACK_LAST,     XM_I,   COH_ACT_UNPROTECT),
    NEVER(SM_A, INSTALLED,  NOT_INST),
    ROW(SM_A, EVICT,        SM_A,   COH_ACT_NONE),
    NEVER(SM_A, DROP,       BUSY),
    ROW(SM_A, OPERATE,  SM_A,   COH_ACT_SEND_GETV),
    NEVER(SM_A, FWD_GETV, NOT_OWNER),
    ROW(SM_A, VALUE,    SM_A,   COH_ACT_ANSWER),
    ROW(SM_A, REFUSE,   SM_A,   COH_ACT_FETCH),

    /* Acks may overtake the grant that says how many there are. */
    ROW(IF_AD, LOAD,        IF_AD,  COH_ACT_NONE),
    ROW(IF_AD, STORE,       IF_AD,  COH_ACT_NONE),
    NEVER(IF_AD, FILL,      ABSENT),
    NEVER(IF_AD, FWD_GETS,  NO_COPY),
    NEVER(IF_AD, FWD_GETM,  NO_COPY),
    NEVER(IF_AD, INV,       NO_COPY),
    NEVER(IF_AD, DATA_S,    NO_BYTES),
    NEVER(IF_AD, DATA_M,    NO_BYTES),
    NEVER(IF_AD, DATA_M_LAST, NO_BYTES),
    ROW(IF_AD, ZERO,        XM_I,   COH_ACT_INSTALL_KEPT),
    ROW(IF_AD, GRANT,       IM_A,   COH_ACT_NONE),
    ROW(IF_AD, GRANT_LAST,  XM_I,   COH_ACT_INSTALL_KEPT),
    ROW(IF_AD, ACK,         IF_AD,  COH_ACT_NONE),
    NEVER(IF_AD, ACK_LAST,  "the last ack is known only with the grant"),
    NEVER(IF_AD, INSTALLED, NOT_INST),
    ROW(IF_AD, EVICT,       IF_AD,  COH_ACT_NONE),
    NEVER(IF_AD, DROP,      NO_COPY),
    ROW(IF_AD, OPERATE,  IF_AD,   COH_ACT_SEND_GETV),
    NEVER(IF_AD, FWD_GETV, NOT_OWNER),
    ROW(IF_AD, VALUE,    IF_AD,   COH_ACT_ANSWER),
    ROW(IF_AD, REFUSE,   IF_AD,   COH_ACT_FETCH),

    ROW(XS_I, LOAD,         XS_I,   COH_ACT_NONE),
    ROW(XS_I, STORE,        XS_I,   COH_ACT_NONE),
    NEVER(XS_I, FILL,       ABSENT),
    NEVER(XS_I, FWD_GETS,   BUSY),
    NEVER(XS_I, FWD_GETM,   BUSY),
    NEVER(XS_I, INV,        BUSY),
    NEVER(XS_I, DATA_S,     HAS_DATA),
    NEVER(XS_I, DATA_M,     HAS_DATA),
    NEVER(XS_I, DATA_M_LAST, HAS_DATA),
    NEVER(XS_I, ZERO,       HAS_DATA),
    NEVER(XS_I, GRANT,      HAS_DATA),
    NEVER(XS_I, GRANT_LAST, HAS_DATA),
    NEVER(XS_I, ACK,        WANTS_S),
    NEVER(XS_I, ACK_LAST,   WANTS_S),
    ROW(XS_I, INSTALLED,    S,      COH_ACT_WAKE, COH_ACT_SEND_DONE),
    ROW(XS_I, EVICT,        XS_I,   COH_ACT_NONE),
    NEVER(XS_I, DROP,       BUSY),
    ROW(XS_I, OPERATE,  XS_I,   COH_ACT_SEND_GETV),
    NEVER(XS_I, FWD_GETV, NOT_OWNER),
    ROW(XS_I, VALUE,    XS_I,   COH_ACT_ANSWER),
    ROW(XS_I, REFUSE,   XS_I,   COH_ACT_FETCH),

    ROW(XM_I, LOAD,         XM_I,   COH_ACT_NONE),
    ROW(XM_I, STORE,        XM_I,   COH_ACT_NONE),
    NEVER(XM_I, FILL,       ABSENT),
    NEVER(XM_I, FWD_GETS,   BUSY),
    NEVER(XM_I, FWD_GETM,   BUSY),
    NEVER(XM_I, INV,        BUSY),
    NEVER(XM_I, DATA_S,     HAS_DATA),
    NEVER(XM_I, DATA_M,     HAS_DATA),
    NEVER(XM_I, DATA_M_LAST, HAS_DATA),
    NEVER(XM_I, ZERO,       HAS_DATA),
    NEVER(XM_I, GRANT,      HAS_DATA),
    NEVER(XM_I, GRANT_LAST, HAS_DATA),
    NEVER(XM_I, ACK,        "all acks came before the installation"),
    NEVER(XM_I, ACK_LAST,   "all acks came before the installation"),
    ROW(XM_I, INSTALLED,    M,      COH_ACT_WAKE, COH_ACT_SEND_DONE),
    ROW(XM_I, EVICT,        XM_I,   COH_ACT_NONE),
    NEVER(XM_I, DROP,       BUSY),
    ROW(XM_I, OPERATE,  XM_I,   COH_ACT_SEND_GETV),
    NEVER(XM_I, FWD_GETV, NOT_OWNER),
    ROW(XM_I, VALUE,    XM_I,   COH_ACT_ANSWER),
    ROW(XM_I, REFUSE,   XM_I,   COH_ACT_FETCH),
};

COH_TABLE_CONST CohRow coh_home_table[COH_HOME__MAX][COH_HEV__MAX] = {
    HROW(U, GETS,           M_B,    COH_ACT_SEND_ZERO),
    HROW(U, GETM,           M_B,    COH_ACT_SEND_ZERO),
    HROW(U, GETO,           M_B,    COH_ACT_SEND_ZERO),
    HNEVER(U, UPGRADE,      "an untouched page has no sharers"),
    HROW(U, GETV,           U,      COH_ACT_SEND_REFUSE),
    HNEVER(U, DONE,         "nobody was granted the page"),
    HNEVER(U, PUT_SHARED,   "an untouched page has no sharers"),
    HNEVER(U, PUT_LAST,     "an untouched page has no holder"),
    HNEVER(U, PUT_STALE,    "a node that gives a page up has touched it"),

    HROW(S, GETS,           S_B,    COH_ACT_FWD_GETS),
    HROW(S, GETM,           M_B,    COH_ACT_FWD_GETM_INV),
    HROW(S, GETO,           M_B,    COH_ACT_INV_GRANT),
    HROW(S, UPGRADE,        M_B,    COH_ACT_INV_GRANT),
    /* No single place to operate at: it becomes the requester's. */
    HROW(S, GETV,           S,      COH_ACT_SEND_REFUSE),
    HNEVER(S, DONE,         "no request is being served"),
    HROW(S, PUT_SHARED,     S_B,    COH_ACT_SEND_DROP),
    /* The last copy is never dropped: a home always has room for it. */
    HROW(S, PUT_LAST,       S,      COH_ACT_ADOPT),
    HROW(S, PUT_STALE,      S,      COH_ACT_NONE),

    HROW(M, GETS,           S_B,    COH_ACT_FWD_GETS),
    HROW(M, GETM,           M_B,    COH_ACT_FWD_GETM_INV),
    HROW(M, GETO,           M_B,    COH_ACT_INV_GRANT),
    HNEVER(M, UPGRADE,      "an owned page has no sharers"),
    /* The page stays, and no request moves it before the owner's DONE. */
    HROW(M, GETV,           M_B,    COH_ACT_FWD_GETV),
    HNEVER(M, DONE,         "no request is being served"),
    HNEVER(M, PUT_SHARED,   "an owned page has no sharers"),
    HROW(M, PUT_LAST,       M,      COH_ACT_ADOPT),
    HROW(M, PUT_STALE,      M,      COH_ACT_NONE),

    HSTALL(S_B, GETS),
    HSTALL(S_B, GETM),
    HSTALL(S_B, GETO),
    HSTALL(S_B, UPGRADE),
    HSTALL(S_B, GETV),
    HROW(S_B, DONE,         S,      COH_ACT_NONE),
    /* Hints in busy times are lost; a node that still wants it asks again. */
    HNEVER(S_B, PUT_SHARED, PUT_BUSY),
    HNEVER(S_B, PUT_LAST,   PUT_BUSY),
    HROW(S_B, PUT_STALE,    S_B,    COH_ACT_NONE),

    HSTALL(M_B, GETS),
    HSTALL(M_B, GETM),
    HSTALL(M_B, GETO),
    HSTALL(M_B, UPGRADE),
    HSTALL(M_B, GETV),
    HROW(M_B, DONE,         M,      COH_ACT_NONE),
    HNEVER(M_B, PUT_SHARED, PUT_BUSY),
    HNEVER(M_B, PUT_LAST,   PUT_BUSY),
    HROW(M_B, PUT_STALE,    M_B,    COH_ACT_NONE),
};

#define NAME(prefix, x) [COH_##prefix##_##x] = #x

static const char *const peer_state_names[] = {
    NAME(PEER, I), NAME(PEER, S), NAME(PEER, M), NAME(PEER, IS_D),
    NAME(PEER, IM_AD), NAME(PEER, IM_A), NAME(PEER, SM_AD), NAME(PEER, SM_A),
    NAME(PEER, IF_AD), NAME(PEER, XS_I), NAME(PEER, XM_I),
};

static const char *const home_state_names[] = {
    NAME(HOME, U), NAME(HOME, S), NAME(HOME, M), NAME(HOME, S_B),
    NAME(HOME, M_B),
};

static const char *const peer_event_names[] = {
    NAME(PEV, LOAD), NAME(PEV, STORE), NAME(PEV, FILL), NAME(PEV, FWD_GETS),
    NAME(PEV, FWD_GETM), NAME(PEV, INV), NAME(PEV, DATA_S),
    NAME(PEV, DATA_M), NAME(PEV, DATA_M_LAST), NAME(PEV, ZERO),
    NAME(PEV, GRANT), NAME(PEV, GRANT_LAST), NAME(PEV, ACK),
    NAME(PEV, ACK_LAST), NAME(PEV, INSTALLED), NAME(PEV, EVICT),
    NAME(PEV, DROP), NAME(PEV, OPERATE), NAME(PEV, FWD_GETV),
    NAME(PEV, VALUE), NAME(PEV, REFUSE),
};

static const char *const home_event_names[] = {
    NAME(HEV, GETS), NAME(HEV, GETM), NAME(HEV, GETO), NAME(HEV, UPGRADE),
    NAME(HEV, GETV), NAME(HEV, DONE), NAME(HEV, PUT_SHARED),
    NAME(HEV, PUT_LAST), NAME(HEV, PUT_STALE),
};

static const char *const act_names[] = {
    NAME(ACT, NONE), NAME(ACT, INSTALL_RO), NAME(ACT, INSTALL_RW),
    NAME(ACT, INSTALL_ZERO), NAME(ACT, INSTALL_KEPT), NAME(ACT, KEEP),
    NAME(ACT, UNPROTECT), NAME(ACT, PROTECT), NAME(ACT, ZAP),
    NAME(ACT, WAKE), NAME(ACT, SEND_GETS), NAME(ACT, SEND_GETM),
    NAME(ACT, COPY), NAME(ACT, TAKE), NAME(ACT, SEND_DATA_S),
    NAME(ACT, SEND_DATA_M), NAME(ACT, SEND_ACK),
    NAME(ACT, SEND_DONE), NAME(ACT, FWD_GETS), NAME(ACT, FWD_GETM_INV),
    NAME(ACT, INV_GRANT), NAME(ACT, SEND_ZERO), NAME(ACT, SEND_PUT),
    NAME(ACT, SEND_DROP), NAME(ACT, ADOPT), NAME(ACT, OPERATE),
    NAME(ACT, ANSWER), NAME(ACT, FETCH), NAME(ACT, SEND_GETV),
    NAME(ACT, SEND_VALUE), NAME(ACT, FWD_GETV), NAME(ACT, SEND_REFUSE),
    NAME(ACT, SEND_GETO),
};

#define LOOKUP(names, i) ((i) < G_N_ELEMENTS(names) ? names[i] : "?")

const char *coh_peer_state_name(unsigned state)
{
    return LOOKUP(peer_state_names, state);
}

const char *coh_home_state_name(unsigned state)
{
    return LOOKUP(home_state_names, state);
}

const char *coh_peer_event_name(unsigned event)
{
    return LOOKUP(peer_event_names, event);
}

const char *coh_home_event_name(unsigned event)
{
    return LOOKUP(home_event_names, event);
}

const char *coh_act_name(unsigned act)
{
    return LOOKUP(act_names, act);
}
