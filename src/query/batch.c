/* SPDX-License-Identifier: Apache-2.0 */
#include "query/batch.h"

#include "base/bytes.h"
#include "codec/vector.h"
#include "format/mem_table_view.h"
#include "query/keys.h"

#include <errno.h>
#include <string.h>
#include <time.h>

enum { BODY_VALUES_ALIGN = 64, LOC_LEN = 8, DEADLINE_KEYS = 512 };

/* One batch under way: where its answers go and what it has found. */
struct answer {
    const struct mem_table *table;
    uint8_t *status;
    uint8_t *locs; /* NULL when values are fixed */
    uint8_t *values;
    uint64_t values_cap; /* bytes that may be written at values */
    uint64_t values_len; /* varying: bytes wanted so far, written or not */
    uint32_t stride;     /* fixed: bytes from value to value */
    uint32_t n_found;
    vector_decode_fn *decode; /* NULL: copy as stored */
};

static uint32_t value_stride(const struct schema *schema, enum batch_form form)
{
    if (form == BATCH_AS_F32)
        return 4 * schema->dim;
    return (uint32_t)align_up(schema->value_len, 8);
}

static uint64_t locs_off(uint32_t n_keys)
{
    return align_up(n_keys, 8);
}

static uint64_t values_off(const struct schema *schema, uint32_t n_keys)
{
    uint64_t end =
        schema_value_is_fixed(schema) ? n_keys : locs_off(n_keys) + LOC_LEN * (uint64_t)n_keys;
    return align_up(end, BODY_VALUES_ALIGN);
}

uint64_t batch_body_min(const struct schema *schema, enum batch_form form, uint32_t n_keys)
{
    uint64_t values_len =
        schema_value_is_fixed(schema) ? (uint64_t)value_stride(schema, form) * n_keys : 0;
    return values_off(schema, n_keys) + values_len;
}

static void put_fixed(struct answer *answer, uint32_t i, enum probe probe,
                      const struct probe_value *value)
{
    uint8_t *out = answer->values + (size_t)i * answer->stride;
    answer->status[i] = probe == PROBE_FOUND     ? BATCH_FOUND
                        : probe == PROBE_CORRUPT ? BATCH_FAILED
                                                 : BATCH_ABSENT;
    if (probe != PROBE_FOUND) {
        memset(out, 0, answer->stride);
        return;
    }
    answer->n_found++;
    if (answer->decode) {
        answer->decode(value->data, answer->table->schema.dim, out);
        return;
    }
    memcpy(out, value->data, value->len);
    memset(out + value->len, 0, answer->stride - value->len);
}

static void put_varying(struct answer *answer, uint32_t i, enum probe probe,
                        const struct probe_value *value)
{
    uint8_t *loc = answer->locs + LOC_LEN * (size_t)i;
    uint64_t off = answer->values_len;
    uint32_t len = probe == PROBE_FOUND ? value->len : 0;
    answer->status[i] = probe == PROBE_FOUND     ? BATCH_FOUND
                        : probe == PROBE_CORRUPT ? BATCH_FAILED
                                                 : BATCH_ABSENT;
    answer->n_found += probe == PROBE_FOUND;
    answer->values_len += align_up(len, 8);
    /* Out of room: go on without writing, to learn how much is needed. */
    if (answer->values_len > answer->values_cap)
        return;
    store_le32(loc, (uint32_t)(off / 8));
    store_le32(loc + 4, len);
    if (len)
        memcpy(answer->values + off, value->data, len);
}

static void put(struct answer *answer, uint32_t i, enum probe probe,
                const struct probe_value *value)
{
    if (answer->locs)
        put_varying(answer, i, probe, value);
    else
        put_fixed(answer, i, probe, value);
}

static void prefetch_slots(const struct mem_table *table, const uint64_t *hash, uint32_t n)
{
    const struct table_level *base = &table->levels[0];
    const struct place *place[GROUP_KEYS];
    for (uint32_t i = 0; i < n; i++) {
        place[i] = &base->places[mph_partition(hash[i], base->n_places)];
        __builtin_prefetch(place[i]->pilots + mph_bucket(hash[i], place[i]->n_buckets));
    }
    for (uint32_t i = 0; i < n; i++)
        __builtin_prefetch(place_slot_at(place[i], place_slot(place[i], hash[i]), table->stride));
}

static bool is_late(const struct batch_request *request, uint32_t i)
{
    struct timespec now;
    if (request->deadline_ns == 0 || i % DEADLINE_KEYS)
        return false;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec > request->deadline_ns;
}

static int run_u64(struct answer *answer, const struct batch_request *request)
{
    const struct mem_table *table = answer->table;
    uint64_t hash[GROUP_KEYS];
    for (uint32_t first = 0; first < request->n_keys; first += GROUP_KEYS) {
        uint32_t n = request->n_keys - first < GROUP_KEYS ? request->n_keys - first : GROUP_KEYS;
        if (is_late(request, first))
            return -ETIMEDOUT;
        for (uint32_t i = 0; i < n; i++)
            hash[i] = hash_u64(load_le64(request->keys + 8 * (size_t)(first + i)),
                               table->schema.hash_seed);
        prefetch_slots(table, hash, n);
        for (uint32_t i = 0; i < n; i++) {
            struct probe_value value = {0};
            enum probe probe = mem_table_probe(table, table->n_levels, hash[i], NULL, 0, &value);
            put(answer, first + i, probe, &value);
        }
    }
    return 0;
}

static int run_bytes(struct answer *answer, const struct batch_request *request)
{
    const struct mem_table *table = answer->table;
    struct key_group group;
    struct key_reader reader;
    int ret = key_reader_init(&reader, &table->schema, request);
    for (uint32_t first = 0; first < request->n_keys && !ret; first += GROUP_KEYS) {
        if (is_late(request, first))
            return -ETIMEDOUT;
        if ((ret = key_reader_next(&reader, &group)))
            return ret;
        prefetch_slots(table, group.hash, group.n);
        for (uint32_t i = 0; i < group.n; i++) {
            struct probe_value value = {0};
            enum probe probe = PROBE_ABSENT;
            if (group.len[i])
                probe = mem_table_probe(table, table->n_levels, group.hash[i], group.bytes[i],
                                        group.len[i], &value);
            put(answer, first + i, probe, &value);
        }
    }
    return ret;
}

static int request_check(const struct schema *schema, const struct batch_request *request)
{
    if (request->n_keys > BATCH_KEYS_MAX)
        return -EPROTO;
    if (schema->key_type == KEY_U64 && request->keys_len != 8 * (uint64_t)request->n_keys)
        return -EPROTO;
    if (request->form != BATCH_AS_STORED && request->form != BATCH_AS_F32)
        return -EPROTO;
    if (request->form == BATCH_AS_F32 && schema->elem == ELEM_NONE)
        return -ENOTSUP;
    return 0;
}

int batch_run(const struct mem_table *table, const struct batch_request *request, void *out,
              size_t out_cap, struct batch_result *result)
{
    const struct schema *schema = &table->schema;
    bool is_fixed = schema_value_is_fixed(schema);
    struct batch_result answered = {0};
    int ret = request_check(schema, request);
    if (ret)
        return ret;
    answered.stride = is_fixed ? value_stride(schema, request->form) : 0;
    answered.locs_off = is_fixed ? 0 : locs_off(request->n_keys);
    answered.values_off = values_off(schema, request->n_keys);
    answered.len = batch_body_min(schema, request->form, request->n_keys);
    if (answered.len > out_cap) {
        *result = answered;
        return -ENOSPC;
    }
    struct answer answer = {
        .table = table,
        .status = out,
        .locs = is_fixed ? NULL : (uint8_t *)out + answered.locs_off,
        .values = (uint8_t *)out + answered.values_off,
        .values_cap = out_cap - answered.values_off,
        .stride = answered.stride,
    };
    if (request->form == BATCH_AS_F32 && schema->elem != ELEM_F32)
        answer.decode = vector_decoder(schema->elem);
    ret = schema->key_type == KEY_U64 ? run_u64(&answer, request) : run_bytes(&answer, request);
    if (ret)
        return ret;
    answered.n_found = answer.n_found;
    answered.len += answer.values_len;
    *result = answered;
    return answered.len > out_cap ? -ENOSPC : 0;
}
