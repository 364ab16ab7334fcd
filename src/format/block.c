/* SPDX-License-Identifier: Apache-2.0 */
#include "format/block.h"

#include "base/hash.h"

#include <errno.h>

/* Whether n entries fit into len bytes, so far as that can be seen without reading their ends. */
static bool entries_fit(const struct block_shape *shape, uint64_t n, uint32_t n_pages, size_t len)
{
    uint64_t records = block_offsets(shape, n, n_pages).records;
    return n > 0 && records <= len && n * shape->record_len <= len - records;
}

int block_open(const void *memory, size_t len, const struct block_shape *shape, uint64_t salt,
               uint32_t page, struct block *out, struct err *err)
{
    const struct block_head *head = memory;
    if (len == 0 || len % BLOCK_PAGE || len / BLOCK_PAGE > BLOCK_PAGES_MAX)
        return err_set(err, -EBADMSG,
                       "block at page %u: expected 1 to %d whole pages, found %zu bytes", page,
                       BLOCK_PAGES_MAX, len);
    uint64_t checksum = hash_bytes((const uint8_t *)memory + sizeof head->checksum,
                                   len - sizeof head->checksum, block_seed(salt, page));
    if (load_le64(&head->checksum) != checksum)
        return err_set(err, -EBADMSG, "block at page %u: expected checksum %016llx, found %016llx",
                       page, (unsigned long long)checksum,
                       (unsigned long long)load_le64(&head->checksum));
    if (block_view(memory, len, shape, out))
        return err_set(err, -EBADMSG,
                       "block at page %u: %u entries in %u pages: expected %zu pages", page,
                       load_le32(&head->n_entries), load_le32(&head->n_pages), len / BLOCK_PAGE);
    return 0;
}

int block_view(const void *memory, size_t len, const struct block_shape *shape, struct block *out)
{
    const uint8_t *bytes = memory;
    const struct block_head *head = memory;
    uint32_t n_pages = (uint32_t)(len / BLOCK_PAGE);
    uint32_t n = load_le32(&head->n_entries);
    if (load_le32(&head->n_pages) != n_pages || !entries_fit(shape, n, n_pages, len))
        return -EBADMSG;
    struct block_offsets off = block_offsets(shape, n, n_pages);
    *out = (struct block){.shape = *shape,
                          .n = n,
                          .end_len = block_end_len(shape, n_pages),
                          .hashes = bytes + off.hashes,
                          .ends = bytes + off.ends,
                          .tomb_bits = shape->has_tombstones ? bytes + off.tomb_bits : NULL,
                          .records = bytes + off.records,
                          .records_len = len - off.records};
    return 0;
}

static uint32_t record_end(const struct block *block, uint32_t i)
{
    return block->end_len == 2 ? load_le16(block->ends + 2 * (size_t)i)
                               : load_le32(block->ends + 4 * (size_t)i);
}

int block_record(const struct block *block, uint32_t i, const uint8_t **record, uint32_t *len)
{
    uint32_t fixed = block->shape.record_len;
    if (i >= block->n)
        return -EBADMSG;
    if (fixed) {
        *record = block->records + (uint64_t)i * fixed;
        *len = fixed;
        return 0;
    }
    uint32_t begin = i ? record_end(block, i - 1) : 0;
    uint32_t end = record_end(block, i);
    if (begin > end || end > block->records_len)
        return -EBADMSG;
    *record = block->records + begin;
    *len = end - begin;
    return 0;
}

bool block_is_tombstone(const struct block *block, uint32_t i)
{
    return block->tomb_bits && (block->tomb_bits[i / 8] >> (i % 8) & 1);
}

/* The value within a record, behind head_len bytes of key. */
static int record_value(const struct block *block, uint32_t i, const uint8_t *record, uint32_t len,
                        uint32_t head_len, struct probe_value *value)
{
    uint32_t wanted = block->shape.value_len;
    *value = (struct probe_value){record + head_len, len - head_len};
    return wanted && value->len != wanted && !block_is_tombstone(block, i) ? -EBADMSG : 0;
}

int block_value(const struct block *block, uint32_t i, struct probe_value *value)
{
    const uint8_t *record = NULL;
    uint32_t len = 0;
    uint32_t head_len = 0;
    if (block_record(block, i, &record, &len))
        return -EBADMSG;
    if (block->shape.has_keys) {
        if (len < 2 || record[0] == 0 || len < 1 + (uint32_t)record[0])
            return -EBADMSG;
        head_len = 1 + (uint32_t)record[0];
    }
    return record_value(block, i, record, len, head_len, value);
}

/* The first entry whose hash is not below. The loop has no branch that depends on the data: half
 * of what is left is skipped or not. */
static uint32_t lower_bound(const struct block *block, uint64_t hash)
{
    uint32_t first = 0;
    for (uint32_t n = block->n; n > 0;) {
        uint32_t half = (n + 1) / 2;
        first += block_hash(block, first + half - 1) < hash ? half : 0;
        n -= half;
    }
    return first;
}

enum probe block_find(const struct block *block, uint64_t hash, const uint8_t *key,
                      uint32_t key_len, struct probe_value *value)
{
    for (uint32_t i = lower_bound(block, hash); i < block->n && block_hash(block, i) == hash; i++) {
        const uint8_t *record = NULL;
        uint32_t len = 0;
        uint32_t head_len = 0;
        if (block_record(block, i, &record, &len))
            return PROBE_CORRUPT;
        if (block->shape.has_keys && !record_has_key(record, len, key, key_len, &head_len))
            continue;
        if (record_value(block, i, record, len, head_len, value))
            return PROBE_CORRUPT;
        return block_is_tombstone(block, i) ? PROBE_TOMBSTONE : PROBE_FOUND;
    }
    return PROBE_ABSENT;
}
