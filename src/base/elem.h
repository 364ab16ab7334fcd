/* SPDX-License-Identifier: Apache-2.0 */
/*
 * elem: how the elements of a vector are stored, and how many bytes that takes.
 *
 *   f32   IEEE binary32                                4 bytes an element
 *   f16   IEEE binary16                                2 bytes an element
 *   bf16  the upper half of a binary32                 2 bytes an element
 *   i8    a f32 scale, then dim signed bytes           4 bytes + 1 an element; value = scale * byte
 *
 * Threads: pure functions.
 */
#ifndef FKV_BASE_ELEM_H
#define FKV_BASE_ELEM_H

#include <stddef.h>
#include <stdint.h>

enum elem {
    ELEM_NONE = 0, /* the value is bytes, not a vector */
    ELEM_F32 = 1,
    ELEM_F16 = 2,
    ELEM_BF16 = 3,
    ELEM_I8 = 4,
};

enum { VECTOR_DIM_MAX = 65536 };

/* Bytes of a stored vector of dim elements; 0 for an elem that is none. */
static inline size_t elem_vector_len(enum elem elem, uint32_t dim)
{
    switch (elem) {
    case ELEM_F32:
        return 4 * (size_t)dim;
    case ELEM_F16:
    case ELEM_BF16:
        return 2 * (size_t)dim;
    case ELEM_I8:
        return 4 + (size_t)dim;
    case ELEM_NONE:
        break;
    }
    return 0;
}

/* "f32", "f16", "bf16", "i8"; "bytes" for ELEM_NONE; NULL for a number that is no elem. */
const char *elem_name(enum elem elem);

/* The elem of that name, or -EINVAL. "bytes" is ELEM_NONE. */
int elem_from_name(const char *name, enum elem *out);

#endif
