/*
 * distkvm: between structs and bytes, by a table of fields
 *
 * Inline, and unrolled: where a table is constant each field costs a load, a
 * comparison and a store, as if written by hand.  Pure; for wire/ only.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PACK_H
#define DISTKVM_PACK_H

typedef struct WireField {
    const char *name;   /* NULL: bytes that are zero                        */
    uint8_t bytes;      /* of an element: 1, 2, 4 or 8, as in the struct    */
    uint8_t count;      /* elements                                         */
    uint16_t at;        /* offset in the struct                             */
    uint64_t min, max;  /* of an element, unsigned                          */
    const char *text;   /* for the documentation                            */
} WireField;

/* The @bytes at @at as a number: from little-endian. */
static inline uint64_t wire_get(const void *at, unsigned bytes)
{
    uint16_t two;
    uint32_t four;
    uint64_t eight;

    switch (bytes) {
    case 1:
        return *(const uint8_t *)at;
    case 2:
        memcpy(&two, at, sizeof(two));
        return GUINT16_FROM_LE(two);
    case 4:
        memcpy(&four, at, sizeof(four));
        return GUINT32_FROM_LE(four);
    default:
        memcpy(&eight, at, sizeof(eight));
        return GUINT64_FROM_LE(eight);
    }
}

/*
 * Copy an element from the wire into a struct.  The same code copies one from a
 * struct to the wire: both swap bytes, or neither does.
 */
static inline void wire_copy(void *to, const void *from, unsigned bytes)
{
    uint64_t value = wire_get(from, bytes);
    uint32_t four = value;
    uint16_t two = value;

    switch (bytes) {
    case 1:
        *(uint8_t *)to = value;
        break;
    case 2:
        memcpy(to, &two, sizeof(two));
        break;
    case 4:
        memcpy(to, &four, sizeof(four));
        break;
    default:
        memcpy(to, &value, sizeof(value));
        break;
    }
}

/* Write the fields of @from to @bytes, which has room; how many bytes. */
static inline __attribute__((always_inline))
size_t wire_pack(const WireField *fields, unsigned n, const void *from,
                 uint8_t *bytes)
{
    uint8_t *at = bytes;

#pragma GCC unroll 10
    for (unsigned i = 0; i < n; i++) {
        const WireField *f = &fields[i];

        for (unsigned k = 0; k < f->count; k++) {
            if (f->name) {
                wire_copy(at, (const char *)from + f->at + k * f->bytes,
                          f->bytes);
            } else {
                *at = 0;
            }
            at += f->bytes;
        }
    }
    return at - bytes;
}

/*
 * Read fields from the @len bytes at @bytes into @to, and say in *@used how
 * many they are.  False: a field is out of its bounds, or cut off.
 */
static inline __attribute__((always_inline))
bool wire_unpack(const WireField *fields, unsigned n, const uint8_t *bytes,
                 size_t len, size_t *used, void *to)
{
    size_t at = 0;

#pragma GCC unroll 10
    for (unsigned i = 0; i < n; i++) {
        const WireField *f = &fields[i];

        for (unsigned k = 0; k < f->count; k++) {
            uint64_t value;

            if (len - at < f->bytes) {
                return false;
            }
            value = wire_get(bytes + at, f->bytes);
            if (value < f->min || value > f->max) {
                return false;
            }
            if (f->name) {
                wire_copy((char *)to + f->at + k * f->bytes, bytes + at,
                          f->bytes);
            }
            at += f->bytes;
        }
    }
    *used = at;
    return true;
}

#endif
