/* SPDX-License-Identifier: Apache-2.0 */
#include "format/block_packer.h"

#include <errno.h>
#include <string.h>

void block_packer_release(struct block_packer *packer)
{
    buf_release(&packer->hashes);
    buf_release(&packer->ends);
    buf_release(&packer->tombs);
    buf_release(&packer->records);
    buf_release(&packer->image);
}

static uint64_t end_of(const struct block_packer *packer, uint32_t i)
{
    return load_le64(packer->ends.data + 8 * (size_t)i);
}

/* Bytes of the records of the first n entries. */
static uint64_t records_len(const struct block_packer *packer, uint32_t n)
{
    return n ? end_of(packer, n - 1) : 0;
}

uint64_t block_packer_hash(const struct block_packer *packer, uint32_t i)
{
    return load_le64(packer->hashes.data + 8 * (size_t)i);
}

int block_packer_add(struct block_packer *packer, uint64_t hash, bool is_tombstone,
                     const void *head, size_t head_len, const void *value, size_t value_len)
{
    uint64_t end = packer->records.len + head_len + value_len;
    int ret = buf_reserve(&packer->records, head_len + value_len);
    if (!ret)
        ret = buf_reserve(&packer->hashes, sizeof hash);
    if (!ret)
        ret = buf_reserve(&packer->ends, sizeof end);
    if (!ret)
        ret = buf_add_byte(&packer->tombs, is_tombstone);
    if (ret)
        return ret;
    buf_add(&packer->records, head, head_len);
    buf_add(&packer->records, value, value_len);
    buf_add(&packer->hashes, &hash, sizeof hash);
    buf_add(&packer->ends, &end, sizeof end);
    packer->n++;
    return 0;
}

uint64_t block_packer_pages(const struct block_packer *packer, uint32_t n)
{
    return block_pages(&packer->shape, n, records_len(packer, n));
}

/* Lays the first n entries out in the image, of which all bytes are zero. */
static void lay_out(struct block_packer *packer, uint32_t n, uint32_t n_pages)
{
    uint8_t *image = packer->image.data;
    struct block_head *head = (struct block_head *)image;
    struct block_offsets off = block_offsets(&packer->shape, n, n_pages);
    uint32_t end_len = block_end_len(&packer->shape, n_pages);
    store_le32(&head->n_pages, n_pages);
    store_le32(&head->n_entries, n);
    if (packer->shape.has_hashes)
        memcpy(image + off.hashes, packer->hashes.data, 8 * (size_t)n);
    for (uint32_t i = 0; i < n && end_len; i++) {
        uint32_t end = (uint32_t)end_of(packer, i);
        memcpy(image + off.ends + (size_t)i * end_len, &end, end_len);
    }
    for (uint32_t i = 0; i < n && packer->shape.has_tombstones; i++)
        image[off.tomb_bits + i / 8] |= (uint8_t)(packer->tombs.data[i] << (i % 8));
    uint64_t len = records_len(packer, n);
    if (len)
        memcpy(image + off.records, packer->records.data, len);
}

static void buf_drop(struct buf *buf, size_t n)
{
    if (n)
        memmove(buf->data, buf->data + n, buf->len - n);
    buf->len -= n;
}

/* Forgets the first n entries. */
static void drop(struct block_packer *packer, uint32_t n)
{
    uint64_t len = records_len(packer, n);
    buf_drop(&packer->records, len);
    buf_drop(&packer->hashes, 8 * (size_t)n);
    buf_drop(&packer->ends, 8 * (size_t)n);
    buf_drop(&packer->tombs, n);
    packer->n -= n;
    for (uint32_t i = 0; i < packer->n; i++)
        store_le64(packer->ends.data + 8 * (size_t)i, end_of(packer, i) - len);
}

int block_packer_write(struct block_packer *packer, uint32_t n, struct part_out *out,
                       uint32_t *n_pages, struct err *err)
{
    enum { SKIP = sizeof((struct block_head *)0)->checksum };
    uint64_t needed = block_packer_pages(packer, n);
    if (needed > BLOCK_PAGES_MAX)
        return err_set(err, -E2BIG,
                       "part: %u keys of nearly the same hash hold more than %d MiB; a full build "
                       "with another --hash-seed is needed",
                       n, BLOCK_PAGES_MAX / ((1 << 20) / BLOCK_PAGE));
    if (packer->n_pages + needed > UINT32_MAX)
        return err_set(err, -E2BIG, "part: more than %u pages; more shards are needed", UINT32_MAX);
    size_t len = needed * BLOCK_PAGE;
    buf_clear(&packer->image);
    if (buf_reserve(&packer->image, len))
        return err_sys(err, -ENOMEM, "part writer: a block of %zu bytes", len);
    memset(packer->image.data, 0, len);
    lay_out(packer, n, (uint32_t)needed);
    const uint8_t *content = packer->image.data + SKIP;
    if (packer->n_pages == 0)
        packer->salt = hash_bytes(content, len - SKIP, packer->salt_seed);
    store_le64(packer->image.data,
               hash_bytes(content, len - SKIP, block_seed(packer->salt, packer->n_pages)));
    int ret = part_out_add(out, packer->image.data, len, err);
    if (ret)
        return ret;
    packer->n_blocks++;
    packer->records_len += records_len(packer, n);
    drop(packer, n);
    packer->n_pages += needed;
    if (needed > packer->n_pages_max)
        packer->n_pages_max = (uint32_t)needed;
    *n_pages = (uint32_t)needed;
    return 0;
}

uint32_t block_pages_for(uint64_t entry_len)
{
    enum { MOST = 4 };
    uint64_t best = (entry_len + sizeof(struct block_head) + BLOCK_PAGE - 1) / BLOCK_PAGE;
    for (uint64_t n = best ? best : 1; n <= MOST; n++) {
        uint64_t len = n * BLOCK_PAGE;
        uint64_t used = entry_len ? (len - sizeof(struct block_head)) / entry_len * entry_len : len;
        if (3 * used >= 2 * len)
            return (uint32_t)n;
    }
    return best > BLOCK_PAGES_MAX ? BLOCK_PAGES_MAX : (uint32_t)best;
}
