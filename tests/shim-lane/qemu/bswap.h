/*
 * QEMU's little-endian stores and loads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef QEMU_BSWAP_H
#define QEMU_BSWAP_H

static inline void stq_le_p(void *ptr, uint64_t value)
{
    value = GUINT64_TO_LE(value);
    memcpy(ptr, &value, sizeof(value));
}

static inline void stw_le_p(void *ptr, uint16_t value)
{
    value = GUINT16_TO_LE(value);
    memcpy(ptr, &value, sizeof(value));
}

static inline int lduw_le_p(const void *ptr)
{
    uint16_t value;

    memcpy(&value, ptr, sizeof(value));
    return GUINT16_FROM_LE(value);
}

static inline uint64_t ldq_le_p(const void *ptr)
{
    uint64_t value;

    memcpy(&value, ptr, sizeof(value));
    return GUINT64_FROM_LE(value);
}

#endif
