/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A scan goes in windows: the next keys of the merge, as many as may fit into what is left of the
 * output; the blocks of all of them, read together in any order, their values put aside; then the
 * records, in order. What was read and does not fit is read again by the scan that goes on there, most
 * likely from the cache.
 */
#include "query/disk_batch.h"
#include "query/disk_merge.h"
#include "query/disk_plan.h"
#include "query/disk_read.h"
#include "query/disk_value.h"

#include "codec/vector.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BOUND_MAX = KEY_BYTES_MAX + 1, /* the key right behind the longest one */
    HEAD_LEN = 8,
    WINDOW_MIN = 16,
    PUT_ASIDE_MAX = 32 << 20, /* bytes of values, but for a single one */
    NOT_KEPT = 255,           /* a status within a window: there was no room to put it aside */
};

struct scan {
    const struct disk_table *table;
    struct disk_worker *worker;
    struct disk_merge *merge;
    vector_decode_fn *decode; /* NULL: as stored */
    uint32_t row_len;         /* bytes of a decoded vector */
    uint64_t deadline_ns;
    uint64_t to; /* u64 keys; 0: no end */
    uint32_t to_len;
    uint8_t to_bytes[BOUND_MAX];
    uint8_t from_bytes[BOUND_MAX];

    uint8_t *out;
    size_t out_cap;
    uint64_t len; /* of the records so far, and of the one that did not fit */
    uint32_t n_records;
    uint32_t n_failed;

    bool is_over;   /* the merge has no more keys of the range */
    uint32_t n;     /* keys of the window */
    bool is_pushed; /* the merge's key is not in a window yet */
};

static bool is_bytes(const struct scan *scan)
{
    return scan->table->schema.key_type == KEY_BYTES;
}

/* ---- the range ---- */

/* The bounds, read once. */
static int read_u64_range(struct scan *scan, const struct batch_request *request,
                          struct disk_bound *from)
{
    if (request->keys_len != 16)
        return -EPROTO;
    from->key = load_le64(request->keys);
    scan->to = load_le64(request->keys + 8);
    return 0;
}

static int read_bytes_range(struct scan *scan, const struct batch_request *request,
                            struct disk_bound *from)
{
    if (request->keys_len < 8)
        return -EPROTO;
    uint64_t ends = load_le64(request->keys);
    __asm__ volatile("" : "+r"(ends));
    uint32_t from_len = (uint32_t)ends;
    uint32_t end = (uint32_t)(ends >> 32);
    if (end < from_len || end != request->keys_len - 8 || from_len > BOUND_MAX ||
        end - from_len > BOUND_MAX)
        return -EPROTO;
    scan->to_len = end - from_len;
    memcpy(scan->from_bytes, request->keys + 8, from_len);
    memcpy(scan->to_bytes, request->keys + 8 + from_len, scan->to_len);
    from->bytes = scan->from_bytes;
    from->len = from_len;
    return 0;
}

static bool is_behind(const struct scan *scan)
{
    const struct disk_merge *merge = scan->merge;
    if (!is_bytes(scan))
        return scan->to && merge->key >= scan->to;
    if (scan->to_len == 0)
        return false;
    uint32_t common = merge->key_len < scan->to_len ? merge->key_len : scan->to_len;
    int order = memcmp(merge->key_bytes, scan->to_bytes, common);
    return order > 0 || (order == 0 && merge->key_len >= scan->to_len);
}

/* 1: the merge is at a key of the range that no window has yet; 0: there is none. */
static int peek(struct scan *scan)
{
    int ret = scan->is_pushed ? 1 : scan->is_over ? 0 : -EAGAIN;
    while (ret == -EAGAIN) {
        ret = disk_merge_next(scan->merge);
        if (ret == -EAGAIN && disk_is_late(scan->deadline_ns))
            return -ETIMEDOUT;
    }
    if (ret == -EBADMSG) {
        disk_part_report(scan->table, scan->table->parts[scan->merge->part], 0, true);
        return -EIO;
    }
    if (ret < 0)
        return ret;
    scan->is_pushed = ret && !is_behind(scan);
    scan->is_over = !scan->is_pushed;
    return scan->is_pushed;
}

/* ---- a window ---- */

/* Puts a value aside for key i. */
static int keep(struct scan *scan, uint32_t i, const struct disk_part *part,
                struct probe_value value)
{
    struct disk_kept *kept = scan->worker->kept;
    int ret = disk_value_decode(scan->worker, &scan->table->schema, part, &value);
    if (ret)
        return ret;
    uint32_t len = scan->decode ? scan->row_len : value.len;
    kept->status[i] = NOT_KEPT;
    if (kept->bytes.len && kept->bytes.len + len > PUT_ASIDE_MAX)
        return 0;
    if (buf_reserve(&kept->bytes, len + 1))
        return -ENOMEM;
    uint8_t *to = kept->bytes.data + kept->bytes.len;
    if (scan->decode)
        scan->decode(value.data, scan->table->schema.dim, to);
    else
        memcpy(to, value.data, len);
    kept->off[i] = kept->bytes.len;
    kept->len[i] = len;
    kept->status[i] = BATCH_FOUND;
    kept->bytes.len += len;
    return 0;
}

static int take(void *context, const struct disk_read *read, const struct block *block)
{
    struct scan *scan = context;
    struct disk_plan *plan = scan->worker->plan;
    struct disk_want *wants = plan->wants + read->first;
    int n_left = 0;
    for (uint32_t i = 0; i < read->n; i++) {
        struct disk_want want = wants[i];
        struct probe_value value = {0};
        int ret = block_value(block, plan->entry[want.key], &value);
        if (!ret)
            ret = keep(scan, want.key, scan->table->parts[read->part], value);
        if (ret == -EBADMSG)
            wants[n_left++] = want;
        else if (ret)
            return ret;
    }
    return n_left;
}

static void give_up(void *context, const struct disk_read *read)
{
    struct scan *scan = context;
    const struct disk_want *wants = scan->worker->plan->wants + read->first;
    for (uint32_t i = 0; i < read->n; i++)
        scan->worker->kept->status[wants[i].key] = BATCH_FAILED;
}

/* The merge's key becomes key i of the window. */
static int add_key(struct scan *scan, uint32_t i)
{
    const struct disk_merge *merge = scan->merge;
    struct disk_keys *keys = scan->worker->keys;
    struct disk_plan *plan = scan->worker->plan;
    struct idx_place place = {0};
    keys->u64[i] = merge->key;
    keys->off[i] = (uint32_t)keys->bytes.len;
    keys->len[i] = is_bytes(scan) ? merge->key_len : 8;
    if (is_bytes(scan) && buf_add(&keys->bytes, merge->key_bytes, merge->key_len))
        return -ENOMEM;
    scan->worker->kept->status[i] = BATCH_FAILED;
    if (idx_place(scan->table->idxs[merge->part], merge->rank, &place)) {
        disk_part_report(scan->table, scan->table->parts[merge->part], 0, true);
        return 0;
    }
    plan->entry[i] = place.entry;
    disk_plan_want(plan, merge->part, place.block, i);
    return 0;
}

/* How many records may fit into what is left of the output, by their mean length. */
static uint32_t window_size(const struct scan *scan)
{
    const struct schema *schema = &scan->table->schema;
    const struct paged_info *info = disk_part_info(scan->table->parts[0]);
    uint64_t n = info->part.n_keys + info->part.n_tombstones;
    uint64_t value_len = schema->value_len;
    if (value_len == 0 && n)
        value_len = info->records_len / n;
    if (scan->decode)
        value_len = scan->row_len;
    uint64_t fit = (scan->out_cap - scan->len) / (2 * (uint64_t)HEAD_LEN + value_len) + 1;
    return (uint32_t)(fit < WINDOW_MIN ? WINDOW_MIN : fit < DISK_SLICE ? fit : DISK_SLICE);
}

/* Gathers up to n_max keys and reads their values. */
static int read_window(struct scan *scan, uint32_t n_max)
{
    struct disk_worker *worker = scan->worker;
    const struct disk_taker taker = {take, give_up, scan, .is_in_order = true};
    int ret = 0;
    scan->n = 0;
    worker->plan->n_wants = 0;
    buf_clear(&worker->keys->bytes);
    buf_clear(&worker->kept->bytes);
    while (scan->n < n_max && (ret = peek(scan)) > 0) {
        if ((ret = add_key(scan, scan->n)))
            return ret;
        scan->n++;
        scan->is_pushed = false;
    }
    if (ret < 0)
        return ret;
    disk_plan_reads(worker->plan);
    return disk_read_all(scan->table, worker, &taker, scan->deadline_ns);
}

/* ---- records ---- */

static uint8_t *put_padded(uint8_t *out, const uint8_t *data, uint32_t len)
{
    uint64_t padded = align_up(len, 8);
    if (padded)
        store_le64(out + padded - 8, 0);
    if (len)
        memcpy(out, data, len);
    return out + padded;
}

/* Writes key i's record; false when it does not fit. */
static bool put_record(struct scan *scan, uint32_t i)
{
    const struct disk_keys *keys = scan->worker->keys;
    const struct disk_kept *kept = scan->worker->kept;
    bool is_found = kept->status[i] == BATCH_FOUND;
    uint32_t value_len = is_found ? kept->len[i] : 0;
    uint32_t key_len = keys->len[i];
    uint8_t *out = scan->out + scan->len;
    uint8_t key[8];
    store_le64(key, keys->u64[i]);
    uint64_t len = HEAD_LEN + align_up(key_len, 8) + align_up(value_len, 8);
    if (len > scan->out_cap - scan->len)
        return false;
    store_le64(out, value_len | (uint64_t)key_len << 32 | (uint64_t)kept->status[i] << 40);
    out =
        put_padded(out + HEAD_LEN, is_bytes(scan) ? keys->bytes.data + keys->off[i] : key, key_len);
    put_padded(out, is_found ? kept->bytes.data + kept->off[i] : NULL, value_len);
    scan->len += len;
    scan->n_records++;
    scan->n_failed += !is_found;
    return true;
}

/* What the first record takes, when there is no room for it. */
static uint64_t record_len(const struct scan *scan, uint32_t i)
{
    const struct disk_kept *kept = scan->worker->kept;
    uint32_t value_len = kept->status[i] == BATCH_FOUND ? kept->len[i] : 0;
    return HEAD_LEN + align_up(scan->worker->keys->len[i], 8) + align_up(value_len, 8);
}

/* 0 with *has_more when the output, or n_max, ends the scan. */
static int run_windows(struct scan *scan, uint32_t n_max, bool *has_more)
{
    int ret = 0;
    while (scan->n_records < n_max) {
        uint32_t left = n_max - scan->n_records;
        uint32_t size = window_size(scan);
        if ((ret = read_window(scan, size < left ? size : left)))
            return ret;
        if (scan->n == 0)
            return 0;
        for (uint32_t i = 0; i < scan->n; i++) {
            bool is_kept = scan->worker->kept->status[i] != NOT_KEPT;
            if (is_kept && put_record(scan, i))
                continue;
            *has_more = true;
            if (scan->n_records)
                return 0;
            scan->len = record_len(scan, i);
            return is_kept ? -ENOSPC : -EAGAIN;
        }
    }
    ret = peek(scan);
    *has_more = ret > 0;
    return ret < 0 ? ret : 0;
}

static int run_from(struct scan *scan, const struct disk_bound *from, uint32_t n_max,
                    bool *has_more)
{
    uint32_t bad_part = 0;
    disk_merge_free(scan->worker->merge);
    scan->worker->merge = NULL;
    int ret = disk_merge_new(scan->table, from, &scan->worker->merge, &bad_part);
    if (ret == -EBADMSG) {
        disk_part_report(scan->table, scan->table->parts[bad_part], 0, true);
        return -EIO;
    }
    if (ret)
        return ret;
    scan->merge = scan->worker->merge;
    scan->is_over = false;
    scan->is_pushed = false;
    scan->len = 0;
    return run_windows(scan, n_max, has_more);
}

static int run(struct scan *scan, const struct batch_request *request, bool *has_more)
{
    struct disk_bound from = {0};
    int ret = is_bytes(scan) ? read_bytes_range(scan, request, &from)
                             : read_u64_range(scan, request, &from);
    if (ret)
        return ret;
    if (!scan->worker->kept && !(scan->worker->kept = calloc(1, sizeof *scan->worker->kept)))
        return -ENOMEM;
    if (disk_is_late(scan->deadline_ns))
        return -ETIMEDOUT;
    ret = run_from(scan, &from, request->n_keys, has_more);
    /* The first value was left out for the sake of longer ones behind it: now it comes alone. */
    if (ret == -EAGAIN)
        ret = run_from(scan, &from, 1, has_more);
    return ret;
}

int disk_scan_run(const struct disk_table *table, struct disk_worker *worker,
                  const struct batch_request *request, void *out, size_t out_cap,
                  struct batch_result *result, bool *has_more)
{
    const struct schema *schema = &table->schema;
    struct scan scan = {.table = table,
                        .worker = worker,
                        .deadline_ns = request->deadline_ns,
                        .out = out,
                        .out_cap = out_cap};
    bool is_more = false;
    if (!table->idxs)
        return -ENOTSUP;
    if (request->form != BATCH_AS_STORED && request->form != BATCH_AS_F32)
        return -EPROTO;
    if (request->form == BATCH_AS_F32 && schema->elem == ELEM_NONE)
        return -ENOTSUP;
    if (request->form == BATCH_AS_F32 && schema->elem != ELEM_F32) {
        scan.decode = vector_decoder(schema->elem);
        scan.row_len = (uint32_t)sizeof(float) * schema->dim;
    }
    disk_worker_begin(worker, table->shared);
    int ret = run(&scan, request, &is_more);
    disk_worker_leave(worker);
    if (ret == -ENOSPC)
        *result = (struct batch_result){.len = scan.len};
    if (ret)
        return ret;
    *result = (struct batch_result){
        .n_found = scan.n_records, .n_failed = scan.n_failed, .len = scan.len};
    *has_more = is_more;
    return 0;
}
