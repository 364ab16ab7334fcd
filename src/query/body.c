/* SPDX-License-Identifier: Apache-2.0 */
#include "query/body.h"

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

int body_begin(const struct schema *schema, const struct batch_request *request, void *out,
               size_t out_cap, struct answer *answer, struct batch_result *layout)
{
    bool is_fixed = schema_value_is_fixed(schema);
    int ret = request_check(schema, request);
    if (ret)
        return ret;
    *layout = (struct batch_result){
        .stride = is_fixed ? value_stride(schema, request->form) : 0,
        .locs_off = is_fixed ? 0 : locs_off(request->n_keys),
        .values_off = values_off(schema, request->n_keys),
        .len = batch_body_min(schema, request->form, request->n_keys),
    };
    if (layout->len > out_cap)
        return -ENOSPC;
    clear_gaps(out, request->n_keys, layout);
    *answer = (struct answer){
        .status = out,
        .locs = is_fixed ? NULL : (uint8_t *)out + layout->locs_off,
        .values = (uint8_t *)out + layout->values_off,
        .values_cap = out_cap - layout->values_off,
        .value_len = schema->value_len,
        .stride = layout->stride,
        .dim = schema->dim,
    };
    if (request->form == BATCH_AS_F32 && schema->elem != ELEM_F32)
        answer->decode = vector_decoder(schema->elem);
    return 0;
}

int body_end(const struct answer *answer, const struct batch_result *layout, size_t out_cap,
             struct batch_result *result)
{
    *result = *layout;
    result->n_found = answer->n_found;
    result->n_failed = answer->n_failed;
    result->len += answer->values_len;
    return result->len > out_cap ? -ENOSPC : 0;
}
