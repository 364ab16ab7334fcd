/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distance: how far a vector has moved, as readers see it: L2 over the f32 view of two stored vectors.
 *
 * Threads: one at a time. Memory: two rows of f32. Errors: -ENOMEM.
 */
#ifndef FKV_BUILDER_DISTANCE_H
#define FKV_BUILDER_DISTANCE_H

#include "codec/vector.h"
#include "format/schema.h"

struct distance {
    uint32_t dim;
    vector_decode_fn *decode;
    float *rows; /* 2 * dim */
};

/* schema is of vectors. */
int distance_init(struct distance *distance, const struct schema *schema);
void distance_release(struct distance *distance);

/* Is b no farther than max from a? A vector that holds NaN or Inf is far from any. */
bool distance_is_within(const struct distance *distance, const uint8_t *a, const uint8_t *b,
                        double max);

#endif
