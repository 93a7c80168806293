/*
 * distkvm: which pages had better stay where they are
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "bounce.h"

void bounce_used(Bounce *b, CohPage page)
{
    unsigned i = page % BOUNCE_PAGES;

    if (b->page[i].page == page) {
        b->page[i].uses++;
    }
}

bool bounce_missed(Bounce *b, CohPage page)
{
    unsigned i = page % BOUNCE_PAGES;

    if (b->page[i].page != page) {
        memset(&b->page[i], 0, sizeof(b->page[i]));
        b->page[i].page = page;
        /* Its first stay begins: nothing can be said of it yet. */
        b->page[i].uses = BOUNCE_USES;
        return false;
    }
    if (b->page[i].travels) {
        /* After the last of them the page comes, and is on trial. */
        return --b->page[i].travels > 0;
    }
    b->page[i].strikes = b->page[i].uses < BOUNCE_USES
                         ? b->page[i].strikes + 1 : 0;
    b->page[i].uses = 0;
    if (b->page[i].strikes < BOUNCE_STRIKES) {
        return false;
    }
    /* One more short stay after these, and it goes on. */
    b->page[i].strikes = BOUNCE_STRIKES - 1;
    b->page[i].travels = BOUNCE_TRAVELS;
    return true;
}
