/* SPDX-License-Identifier: Apache-2.0 */
/*
 * forged: parts with blocks, edited and then made right where checksums would only hide what lies
 * behind them.
 *
 * Threads: one at a time. Memory: the caller releases buffers. Errors: none; aborts without memory.
 */
#ifndef FKV_TESTS_FORGED_H
#define FKV_TESTS_FORGED_H

#include "../lib/paged_fixture.h"
#include "format/paged_layout.h"

enum { EDIT_LEN = 7 };

/* An edit: where (in the tail or footer when odd), how wide, and what. */
static inline void forged_edit(struct buf *bytes, uint64_t tail_off, const uint8_t *p)
{
    size_t at = load_le16(p) | (size_t)(p[6] & 3) << 16;
    size_t len = (size_t)1 << (p[2] & 3);
    uint64_t value = (uint64_t)(int64_t)(int16_t)load_le16(p + 3);
    size_t footer = bytes->len - PART_FOOTER_LEN;
    if (at % 4 == 1)
        at = footer + at / 4 % sizeof(struct paged_footer);
    else if (at % 4 == 3)
        at = tail_off + at / 4 % (footer - tail_off + 1);
    if (p[2] & 4)
        value <<= p[5] & 63;
    at %= bytes->len - 8;
    if (p[2] & 8)
        at &= ~(size_t)7;
    memcpy(bytes->data + at, &value, len);
}

/* Makes the tail's digest and the footer's checksum right. */
static inline void forged_seal(struct buf *bytes)
{
    struct paged_footer footer;
    struct digest digest;
    if (bytes->len < PART_FOOTER_LEN)
        return;
    uint8_t *at = bytes->data + bytes->len - PART_FOOTER_LEN;
    memcpy(&footer, at, sizeof footer);
    uint64_t off = load_le64(&footer.n_pages);
    off = off < bytes->len / BLOCK_PAGE ? off * BLOCK_PAGE : 0;
    if (off <= bytes->len - PART_FOOTER_LEN) {
        digest_of(bytes->data + off, bytes->len - PART_FOOTER_LEN - off, &digest);
        memcpy(footer.tail_digest, digest.b, DIGEST_LEN);
    }
    store_le64(&footer.checksum, hash_checksum(&footer, offsetof(struct paged_footer, checksum)));
    memcpy(at, &footer, sizeof footer);
}

/* Reads the block of a place, with its checksum made right; NULL when it does not open. The buffer
 * is exactly as long as the block, so that the sanitizer sees a step beyond. */
static inline uint8_t *forged_block(const struct paged_fixture *fixture, struct block_place place,
                                    struct block *block)
{
    const struct paged_info *info = &fixture->info;
    size_t len = (size_t)place.n_pages * BLOCK_PAGE;
    FIXTURE_MUST((uint64_t)place.page + place.n_pages <= info->n_pages);
    uint8_t *memory = paged_fixture_read(fixture, place);
    store_le64(memory, hash_bytes(memory + 8, len - 8, block_seed(info->salt, place.page)));
    if (block_open(memory, len, &info->shape, info->salt, place.page, block, NULL) == 0)
        return memory;
    free(memory);
    return NULL;
}

static inline void forged_touch(const uint8_t *data, uint64_t len)
{
    uint64_t sum = 0;
    for (uint64_t i = 0; i < len; i += 16)
        sum += data[i];
    if (len)
        sum += data[len - 1];
    __asm__ volatile("" : : "r"(sum));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#endif
