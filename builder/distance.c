/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/distance.h"

#include <errno.h>
#include <stdlib.h>

int distance_init(struct distance *distance, const struct schema *schema)
{
    *distance = (struct distance){.dim = schema->dim, .decode = vector_decoder(schema->elem)};
    distance->rows = calloc(2 * (size_t)schema->dim, sizeof *distance->rows);
    return distance->rows && distance->decode ? 0 : -ENOMEM;
}

void distance_release(struct distance *distance)
{
    free(distance->rows);
    *distance = (struct distance){0};
}

bool distance_is_within(const struct distance *distance, const uint8_t *a, const uint8_t *b,
                        double max)
{
    uint32_t dim = distance->dim;
    const float *x = distance->rows;
    const float *y = distance->rows + dim;
    double sum = 0;
    distance->decode(a, dim, distance->rows);
    distance->decode(b, dim, distance->rows + dim);
    for (uint32_t i = 0; i < dim; i++) {
        double d = (double)x[i] - (double)y[i];
        sum += d * d;
    }
    /* NaN compares as false, and a distance to Inf is Inf or NaN. */
    return sum <= max * max;
}
