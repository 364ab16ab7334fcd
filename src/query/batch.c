/* SPDX-License-Identifier: Apache-2.0 */
#include "query/batch.h"

#include "format/mem_table_view.h"
#include "query/passes.h"

#include <errno.h>

enum { BODY_VALUES_ALIGN = 64 };

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

/* The bytes between status, locs and values: whoever owns the output reads them too. */
static void clear_gaps(uint8_t *out, uint32_t n_keys, const struct batch_result *layout)
{
    uint64_t end = n_keys;
    if (layout->locs_off) {
        memset(out + end, 0, layout->locs_off - end);
        end = layout->locs_off + LOC_LEN * (uint64_t)n_keys;
    }
    memset(out + end, 0, layout->values_off - end);
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
    clear_gaps(out, request->n_keys, &answered);
    struct answer answer = {
        .status = out,
        .locs = is_fixed ? NULL : (uint8_t *)out + answered.locs_off,
        .values = (uint8_t *)out + answered.values_off,
        .values_cap = out_cap - answered.values_off,
        .value_len = schema->value_len,
        .stride = answered.stride,
        .dim = schema->dim,
    };
    if (request->form == BATCH_AS_F32 && schema->elem != ELEM_F32)
        answer.decode = vector_decoder(schema->elem);
    if ((ret = passes_run(table, request, &answer)))
        return ret;
    answered.n_found = answer.n_found;
    answered.len += answer.values_len;
    *result = answered;
    return answered.len > out_cap ? -ENOSPC : 0;
}
