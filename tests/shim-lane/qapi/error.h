/*
 * QEMU's errors: a text
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QAPI_ERROR_H
#define QAPI_ERROR_H

struct Error {
    char text[256];
};

#define error_setg(errp, ...) do {                                      \
    *(errp) = g_new(Error, 1);                                          \
    snprintf((*(errp))->text, sizeof((*(errp))->text), __VA_ARGS__);    \
} while (0)

#endif
