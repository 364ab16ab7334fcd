/* SPDX-License-Identifier: Apache-2.0 */
/* get: the calls of fkv.h that fetch values, over batch_ask(). */
#include "client/batch.h"
#include "client/last_error.h"

#include <errno.h>
#include <string.h>

static int get(struct fkv_batch *batch, const struct keys *keys, const struct fkv_ask *ask,
               struct fkv_result *out)
{
    uint32_t form = ask && ask->as_f32 ? FKV_FORM_F32 : FKV_FORM_STORED;
    struct answer answer;
    int r = batch_ask(batch, keys, ask, form, &answer);
    if (r)
        return r;
    const struct wire_reply *reply = &answer.reply;
    *out = (struct fkv_result){
        .version = reply->served,
        .n_keys = keys->n,
        .n_found = reply->n_found,
        .status = answer.body,
        .values = answer.body + reply->values_off,
        .locs = answer.body + reply->locs_off,
        .values_len = reply->body_len - reply->values_off,
        .stride = reply->stride,
        .value_len = reply->value_len,
    };
    return 0;
}

/* Fills the caller's rows from an answer of n float vectors. */
static void fill_rows(const struct answer *answer, uint32_t n, uint32_t dim, float *matrix,
                      size_t row_stride, uint8_t *status)
{
    const uint8_t *values = answer->body + answer->reply.values_off;
    size_t len = dim * sizeof(float);
    for (uint32_t i = 0; i < n; i++) {
        float *row = matrix + row_stride * i;
        if (answer->body[i] == FKV_FOUND)
            memcpy(row, values + len * i, len);
        else
            memset(row, 0, len);
    }
    if (status && n)
        memcpy(status, answer->body, n);
}

static int get_matrix(struct fkv_batch *batch, const struct keys *keys, uint32_t dim, float *matrix,
                      size_t row_stride, uint8_t *status, const struct fkv_ask *ask,
                      uint64_t *version)
{
    struct err err = {0};
    struct answer answer;
    if (!dim || row_stride < dim)
        return last_error_set(err_set(&err, -EINVAL,
                                      "rows of %u floats do not fit a row stride of %zu", dim,
                                      row_stride),
                              &err);
    int r = batch_ask(batch, keys, ask, FKV_FORM_F32, &answer);
    if (r)
        return r;
    if (keys->n && answer.reply.stride != dim * sizeof(float))
        return last_error_set(err_set(&err, -EINVAL,
                                      "version %llu has vectors of %zu elements, the matrix %u",
                                      (unsigned long long)answer.reply.served,
                                      answer.reply.stride / sizeof(float), dim),
                              &err);
    fill_rows(&answer, keys->n, dim, matrix, row_stride, status);
    if (version)
        *version = answer.reply.served;
    return 0;
}

int fkv_get_u64(fkv_batch *batch, const uint64_t *keys, uint32_t n, const fkv_ask *ask,
                fkv_result *out)
{
    static const uint64_t none;
    return get(batch, &(struct keys){.n = n, .u64 = n ? keys : &none}, ask, out);
}

int fkv_get_bytes(fkv_batch *batch, const void *const *keys, const uint8_t *lens, uint32_t n,
                  const fkv_ask *ask, fkv_result *out)
{
    return get(batch, &(struct keys){.n = n, .bytes = keys, .lens = lens}, ask, out);
}

int fkv_get_matrix_u64(fkv_batch *batch, const uint64_t *keys, uint32_t n, uint32_t dim,
                       float *matrix, size_t row_stride, uint8_t *status, const fkv_ask *ask,
                       uint64_t *version)
{
    static const uint64_t none;
    return get_matrix(batch, &(struct keys){.n = n, .u64 = n ? keys : &none}, dim, matrix,
                      row_stride, status, ask, version);
}

int fkv_get_matrix_bytes(fkv_batch *batch, const void *const *keys, const uint8_t *lens, uint32_t n,
                         uint32_t dim, float *matrix, size_t row_stride, uint8_t *status,
                         const fkv_ask *ask, uint64_t *version)
{
    return get_matrix(batch, &(struct keys){.n = n, .bytes = keys, .lens = lens}, dim, matrix,
                      row_stride, status, ask, version);
}
