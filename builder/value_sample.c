/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/value_sample.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_below(const struct sampled_value *a, const struct sampled_value *b)
{
    return a->hash != b->hash ? a->hash < b->hash : a->seq < b->seq;
}

static uint64_t cost_of(const struct sampled_value *value)
{
    return (uint64_t)value->len + SAMPLE_ITEM_COST;
}

static void swap(struct sampled_value *a, struct sampled_value *b)
{
    struct sampled_value kept = *a;
    *a = *b;
    *b = kept;
}

static void heap_push(struct value_sample *sample, struct sampled_value value)
{
    struct sampled_value *values = sample->values;
    size_t i = sample->n++;
    values[i] = value;
    for (; i > 0 && is_below(&values[(i - 1) / 2], &values[i]); i = (i - 1) / 2)
        swap(&values[(i - 1) / 2], &values[i]);
    sample->cost += cost_of(&value);
}

static void heap_pop(struct value_sample *sample)
{
    struct sampled_value *values = sample->values;
    sample->cost -= cost_of(&values[0]);
    free(values[0].data);
    values[0] = values[--sample->n];
    for (size_t i = 0;;) {
        size_t child = 2 * i + 1;
        if (child >= sample->n)
            return;
        if (child + 1 < sample->n && is_below(&values[child], &values[child + 1]))
            child++;
        if (!is_below(&values[i], &values[child]))
            return;
        swap(&values[i], &values[child]);
        i = child;
    }
}

/* Takes over value.data. */
static int take(struct value_sample *sample, struct sampled_value value)
{
    if (sample->n == sample->cap) {
        size_t cap = sample->cap ? 2 * sample->cap : 64;
        struct sampled_value *values = realloc(sample->values, cap * sizeof *values);
        if (!values) {
            free(value.data);
            return -ENOMEM;
        }
        sample->values = values;
        sample->cap = cap;
    }
    heap_push(sample, value);
    /* The highest goes when those below reach the length without it. */
    while (sample->cost - cost_of(&sample->values[0]) >= SAMPLE_LEN)
        heap_pop(sample);
    return 0;
}

/* Would it be popped at once? */
static bool is_above_all(const struct value_sample *sample, const struct sampled_value *value)
{
    return sample->cost >= SAMPLE_LEN && is_below(&sample->values[0], value);
}

int value_sample_put(struct value_sample *sample, const struct sampled_value *from)
{
    struct sampled_value value = *from;
    if (is_above_all(sample, &value))
        return 0;
    value.data = malloc((size_t)value.len + 1);
    if (!value.data)
        return -ENOMEM;
    if (value.len)
        memcpy(value.data, from->data, value.len);
    return take(sample, value);
}

int value_sample_add(struct value_sample *sample, const struct part_entry *entry, uint64_t seq)
{
    struct sampled_value value = {.hash = entry->hash,
                                  .seq = seq,
                                  .len = entry->value_len,
                                  .full_len = entry->value_len,
                                  .data = (uint8_t *)(uintptr_t)entry->value};
    if (entry->tombstone)
        return 0;
    if (value.len > SAMPLE_VALUE_MAX)
        value.len = SAMPLE_VALUE_MAX;
    return value_sample_put(sample, &value);
}

int value_sample_merge(struct value_sample *sample, struct value_sample *from)
{
    int ret = 0;
    while (from->n && !ret)
        ret = take(sample, from->values[--from->n]);
    value_sample_release(from);
    return ret;
}

static int by_place(const void *a, const void *b)
{
    const struct sampled_value *x = a;
    const struct sampled_value *y = b;
    return is_below(x, y) ? -1 : is_below(y, x);
}

void value_sample_sort(struct value_sample *sample)
{
    if (sample->n)
        qsort(sample->values, sample->n, sizeof *sample->values, by_place);
}

void value_sample_release(struct value_sample *sample)
{
    for (size_t i = 0; i < sample->n; i++)
        free(sample->values[i].data);
    free(sample->values);
    *sample = (struct value_sample){0};
}
