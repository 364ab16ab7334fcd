/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sample is compressed as the values will be, once without and once with a dictionary trained on it. Each dictionary lies in
 * every part, and compressed values need their lengths kept, so both count: a small table may be better off without.
 */
#include "builder/value_coding.h"

#include "base/scope.h"
#include "codec/zstd_value.h"

#include <errno.h>

/* What a block keeps for a value of varying length. */
enum { LENGTH_LEN = 2 };

bool value_coding_wants_sample(const struct job *job, enum table_kind kind)
{
    return kind != KIND_MEM && job->compress != COMPRESS_NONE;
}

void value_coding_release(struct value_coding *coding)
{
    buf_release(&coding->dictionary);
    *coding = (struct value_coding){0};
}

static int train(const struct value_sample *sample, struct buf *dictionary, struct err *err)
{
    struct buf all = {0};
    unsigned n = 0;
    scope_free size_t *lens = calloc(sample->n + 1, sizeof *lens);
    int ret = lens ? 0 : -ENOMEM;
    for (size_t i = 0; i < sample->n && !ret; i++) {
        /* Longer values are compressed without; empty ones teach nothing. */
        if (sample->values[i].len == 0 || sample->values[i].full_len > ZSTD_DICTIONARY_VALUE_MAX)
            continue;
        ret = buf_add(&all, sample->values[i].data, sample->values[i].len);
        lens[n++] = sample->values[i].len;
    }
    ret = ret ? err_sys(err, ret, "training a dictionary")
              : zstd_train(all.data, lens, n, DICTIONARY_LEN_MAX, dictionary, err);
    buf_release(&all);
    return ret;
}

/* The length of a value as it would be stored; of a long one, by what its beginning comes to. */
static int try_value(struct zstd_encoder *encoder, struct zstd_encoder *plain,
                     const struct sampled_value *value, struct buf *stored, double *stored_len)
{
    bool is_long = value->full_len > ZSTD_DICTIONARY_VALUE_MAX;
    int ret = zstd_value_encode(is_long ? plain : encoder, value->data, value->len, stored);
    *stored_len += value->len ? (double)stored->len * value->full_len / value->len : 1;
    return ret;
}

/* The share of its length that is left of the whole level. */
static int try_coding(const struct value_sample *sample, const struct schema *schema,
                      const struct value_totals *totals, int level, const struct buf *dictionary,
                      double *ratio, struct err *err)
{
    struct zstd_encoder *encoder = NULL;
    struct zstd_encoder *plain = NULL;
    struct buf stored = {0};
    double raw_len = 0;
    double stored_len = 0;
    int ret = zstd_encoder_new(level, dictionary->data, dictionary->len, &encoder, err);
    if (!ret && (ret = zstd_encoder_new(level, NULL, 0, &plain, err)))
        zstd_encoder_free(encoder);
    if (ret)
        return ret;
    for (size_t i = 0; i < sample->n && !ret; i++) {
        ret = try_value(encoder, plain, &sample->values[i], &stored, &stored_len);
        raw_len += sample->values[i].full_len;
    }
    zstd_encoder_free(encoder);
    zstd_encoder_free(plain);
    buf_release(&stored);
    if (ret)
        return err_sys(err, ret, "compressing a sample");
    double lengths = schema_value_is_fixed(schema) ? LENGTH_LEN * (double)totals->n_values : 0;
    double dictionaries = (double)dictionary->len * totals->n_shards;
    *ratio =
        raw_len > 0 ? stored_len / raw_len + (lengths + dictionaries) / (double)totals->len : 1;
    return 0;
}

static int choose(const struct job *job, const struct schema *schema,
                  const struct value_sample *sample, const struct value_totals *totals,
                  struct value_coding *out, struct err *err)
{
    struct buf none = {0};
    double with = 1;
    double without = 1;
    int ret = train(sample, &out->dictionary, err);
    if (!ret)
        ret = try_coding(sample, schema, totals, out->level, &none, &without, err);
    if (!ret && out->dictionary.len)
        ret = try_coding(sample, schema, totals, out->level, &out->dictionary, &with, err);
    if (ret)
        return ret;
    if (!out->dictionary.len || with >= without) {
        buf_release(&out->dictionary);
        with = without;
    }
    out->was_sampled = true;
    out->ratio_tried = with;
    if (job->compress == COMPRESS_AUTO && with > 1 - COMPRESS_MIN_PCT / 100.0) {
        buf_release(&out->dictionary);
        return 0;
    }
    out->compression = COMPRESSION_ZSTD;
    out->ratio = with;
    return 0;
}

int value_coding_choose(const struct job *job, const struct schema *schema,
                        struct value_sample *sample, const struct value_totals *totals,
                        struct value_coding *out, struct err *err)
{
    struct value_coding coding = {.level =
                                      job->compress_level ? job->compress_level : ZSTD_VALUE_LEVEL,
                                  .ratio = 1,
                                  .ratio_tried = 1};
    int ret = 0;
    value_sample_sort(sample);
    if (value_coding_wants_sample(job, schema->kind) && totals->len)
        ret = choose(job, schema, sample, totals, &coding, err);
    if (ret)
        value_coding_release(&coding);
    else
        *out = coding;
    return ret;
}
