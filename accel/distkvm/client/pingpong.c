/*
 * distkvm: which pages had better stay where they are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "pingpong.h"

void pingpong_used(PingPong *b, CohPage page)
{
    unsigned i = page % PINGPONG_PAGES;

    if (b->page[i].page == page) {
        b->page[i].uses++;
    }
}

bool pingpong_missed(PingPong *b, CohPage page)
{
    unsigned i = page % PINGPONG_PAGES;
    uint32_t travels;

    if (b->page[i].page != page) {
        memset(&b->page[i], 0, sizeof(b->page[i]));
        b->page[i].page = page;
        /* Its first stay begins: nothing can be said of it yet. */
        b->page[i].uses = PINGPONG_USES;
        return false;
    }
    /* Read once: another thread that counts too must not make it wrap. */
    travels = __atomic_load_n(&b->page[i].travels, __ATOMIC_RELAXED);
    if (travels) {
        __atomic_store_n(&b->page[i].travels, travels - 1, __ATOMIC_RELAXED);
        /* After the last of them the page comes, and is on trial. */
        return travels > 1;
    }
    b->page[i].strikes = b->page[i].uses < PINGPONG_USES
                         ? b->page[i].strikes + 1 : 0;
    b->page[i].uses = 0;
    if (b->page[i].strikes < PINGPONG_STRIKES) {
        return false;
    }
    /* One more short stay after these, and it goes on. */
    b->page[i].strikes = PINGPONG_STRIKES - 1;
    b->page[i].travels = PINGPONG_TRAVELS;
    return true;
}
