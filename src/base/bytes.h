/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bytes: little-endian integers of alignment 1, and arithmetic that cannot wrap unseen.
 *
 * On-disk and on-wire structs are made of le16, le32 and le64 only, so they have no padding and may
 * lie at any address. Numbers that come from outside are added and multiplied with the checked
 * helpers.
 *
 * Threads: pure functions. Memory: none. Errors: the checked helpers return false on overflow.
 */
#ifndef FKV_BASE_BYTES_H
#define FKV_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    uint8_t b[2];
} le16;
typedef struct {
    uint8_t b[4];
} le32;
typedef struct {
    uint8_t b[8];
} le64;

_Static_assert(sizeof(le64) == 8 && _Alignof(le64) == 1, "le64 must have no alignment");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "big-endian hosts need swaps here");

static inline uint16_t load_le16(const void *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint32_t load_le32(const void *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline uint64_t load_le64(const void *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline void store_le16(void *p, uint16_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void store_le32(void *p, uint32_t v)
{
    memcpy(p, &v, sizeof v);
}
static inline void store_le64(void *p, uint64_t v)
{
    memcpy(p, &v, sizeof v);
}

static inline bool add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
    return !__builtin_add_overflow(a, b, sum);
}
static inline bool mul_u64(uint64_t a, uint64_t b, uint64_t *product)
{
    return !__builtin_mul_overflow(a, b, product);
}

/* True when [off, off + len) lies within [0, size). */
static inline bool range_within(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

/* v rounded up to a multiple of align, a power of two. The caller knows that it does not wrap. */
static inline uint64_t align_up(uint64_t v, uint64_t align)
{
    return (v + align - 1) & ~(align - 1);
}

#endif
