/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample: keys to ask for in a benchmark, drawn at random from the parts of a mounted version, or read from a file.
 *
 * Parts are read until enough keys were seen; keys are then in random order, so that batches touch memory at random.
 *
 * Threads: one. Memory: sample_release(). Errors: -ENOENT, -EINVAL for a key that does not fit the table, -ENOMEM.
 */
#ifndef FKV_CLI_SAMPLE_H
#define FKV_CLI_SAMPLE_H

#include "base/buf.h"
#include "base/err.h"
#include "format/schema.h"

struct sample {
    enum key_type key_type;
    size_t n;
    size_t cap;
    uint64_t *ids;     /* KEY_U64 */
    const void **keys; /* KEY_BYTES; into bytes */
    uint8_t *lens;
    struct buf bytes;
    uint64_t seen; /* keys offered so far */
    uint64_t random;
};

int sample_init(struct sample *sample, enum key_type key_type, size_t cap, struct err *err);
void sample_release(struct sample *sample);

/* From DIR/parts/ of a mounted version. */
int sample_parts(struct sample *sample, const char *version_dir, struct err *err);
/* From a file of one key a line, "-" for standard input. */
int sample_file(struct sample *sample, const char *path, struct err *err);

#endif
