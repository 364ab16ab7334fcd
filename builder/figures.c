/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/figures.h"

#include "codec/vector_norm.h"

#include <math.h>
#include <string.h>

static void count_add(uint64_t *sum, uint64_t n)
{
    *sum = n > FIGURES_MAX - *sum ? FIGURES_MAX : *sum + n;
}

/*
 * The bucket of a norm given as its square: log2 of the norm is half of it, so an octave of norms is two of squares. borders are
 * the mantissas of 2^((k + 1/2) / 8), where the buckets of the squares within an octave meet; comparing bits needs no
 * logarithm, whose last bit differs between libraries.
 */
static uint32_t bucket_of(double square)
{
    static const uint64_t borders[NORM_STEPS / 2] = {
        0x0b5586cf9890f, 0x2387a6e756238, 0x3dea64c123422, 0x5ab07dd485429,
        0x7a11473eb0187, 0x9c49182a3f090, 0xc199bdd85529c, 0xea4afa2a490da,
    };
    uint64_t bits;
    memcpy(&bits, &square, sizeof bits);
    uint64_t mantissa = bits & ((1ULL << 52) - 1);
    int64_t step = ((int64_t)(bits >> 52) - 1023) * (NORM_STEPS / 2);
    for (int i = 0; i < NORM_STEPS / 2; i++)
        step += mantissa >= borders[i];
    if (step < -NORM_ZERO)
        return 0;
    return step > NORM_ZERO ? NORM_BUCKETS - 1 : (uint32_t)(step + NORM_ZERO);
}

/* The running mean and sum of squares (B. P. Welford, Technometrics 4, 1962): no difference of large sums. */
static void norm_add(struct norm_figures *norm, double square)
{
    double x = sqrt(square);
    double from_mean = x - norm->mean;
    norm->min = norm->count && norm->min < x ? norm->min : x;
    norm->max = norm->count && norm->max > x ? norm->max : x;
    norm->count++;
    norm->mean += from_mean / (double)norm->count;
    norm->m2 += from_mean * (x - norm->mean);
    norm->buckets[bucket_of(square)]++;
}

static void vector_add(struct build_figures *figures, const struct schema *schema,
                       const uint8_t *value)
{
    double square = vector_square_sum(schema->elem, value, schema->dim);
    if (!isfinite(square)) {
        figures->not_finite++;
        return;
    }
    figures->empty_values += square == 0;
    norm_add(&figures->norm, square);
}

void figures_add(struct build_figures *figures, const struct schema *schema,
                 const struct part_entry *entry)
{
    figures->has_vectors = schema->elem != ELEM_NONE;
    figures->tombstones += entry->tombstone;
    figures->keys += !entry->tombstone;
    if (entry->tombstone)
        return;
    if (figures->has_vectors)
        vector_add(figures, schema, entry->value);
    else
        figures->empty_values += entry->value_len == 0;
}

/* Of two samples (T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating formulae …", COMPSTAT 1982). */
static void norm_merge(struct norm_figures *sum, const struct norm_figures *part)
{
    double n = (double)sum->count;
    double m = (double)part->count;
    double apart = part->mean - sum->mean;
    if (!part->count)
        return;
    sum->min = sum->count && sum->min < part->min ? sum->min : part->min;
    sum->max = sum->count && sum->max > part->max ? sum->max : part->max;
    sum->mean = sum->count ? sum->mean + apart * (m / (n + m)) : part->mean;
    sum->m2 += part->m2 + apart * apart * (n / (n + m)) * m;
    count_add(&sum->count, part->count);
    for (size_t i = 0; i < NORM_BUCKETS; i++)
        count_add(&sum->buckets[i], part->buckets[i]);
}

void figures_merge(struct build_figures *sum, const struct build_figures *part)
{
    count_add(&sum->rows, part->rows);
    count_add(&sum->bad_rows, part->bad_rows);
    count_add(&sum->duplicates, part->duplicates);
    count_add(&sum->keys, part->keys);
    count_add(&sum->tombstones, part->tombstones);
    count_add(&sum->empty_values, part->empty_values);
    count_add(&sum->not_finite, part->not_finite);
    sum->has_vectors = sum->has_vectors || part->has_vectors;
    norm_merge(&sum->norm, &part->norm);
}

double norm_deviation(const struct norm_figures *norm)
{
    return norm->count ? sqrt(norm->m2 / (double)norm->count) : 0;
}

double norm_quantile(const struct norm_figures *norm, double share)
{
    double wanted = share * (double)norm->count;
    double sum = 0;
    size_t i = 0;
    if (!norm->count)
        return 0;
    for (; i < NORM_BUCKETS - 1; i++) {
        sum += (double)norm->buckets[i];
        if (sum > 0 && sum >= wanted)
            break;
    }
    double middle = i ? exp2(((double)i - NORM_ZERO) / NORM_STEPS) : 0;
    return fmin(fmax(middle, norm->min), norm->max);
}

double norm_distance(const struct norm_figures *a, const struct norm_figures *b)
{
    double largest = 0;
    uint64_t below_a = 0;
    uint64_t below_b = 0;
    if (!a->count || !b->count)
        return 0;
    for (size_t i = 0; i < NORM_BUCKETS; i++) {
        count_add(&below_a, a->buckets[i]);
        count_add(&below_b, b->buckets[i]);
        double apart =
            fabs((double)below_a / (double)a->count - (double)below_b / (double)b->count);
        largest = fmax(largest, apart);
    }
    return largest;
}
