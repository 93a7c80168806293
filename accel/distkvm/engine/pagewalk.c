/*
 * distkvm: page tables that move because processors walk them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "pagewalk.h"

static unsigned find(const Pagewalk *w, CohPage page)
{
    unsigned i = 0;

    while (i < w->n && w->page[i] != page) {
        i++;
    }
    return i;
}

bool pagewalk_has(const Pagewalk *w, CohPage page)
{
    return find(w, page) < w->n;
}

void pagewalk_left(Pagewalk *w, CohPage page, bool unchanged)
{
    unsigned at = find(w, page);

    if (at < w->n) {
        memmove(&w->page[at], &w->page[at + 1],
                (w->n - at - 1) * sizeof(w->page[0]));
        w->n--;
    }
    if (unchanged) {
        w->n = MIN(w->n, PAGEWALK_PAGES - 1);
        memmove(&w->page[1], &w->page[0], w->n * sizeof(w->page[0]));
        w->page[0] = page;
        w->n++;
    }
}
