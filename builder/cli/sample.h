/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sample: keys to ask for in a benchmark, drawn at random from the parts of a mounted version, or read from a file.
 *
 * Parts of `mem` tables are read until enough keys were seen. Of `idx` tables the keys are read, and of `blk` tables blocks at equal
 * distances, a few keys of each: a large table is not read to be measured. Keys are then in random order, so that batches touch
 * memory, and disk, at random.
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
/* Every key offered has the same chance to be among those kept. */
void sample_offer(struct sample *sample, uint64_t id, const void *key, uint8_t len);

/* Offers keys of one part of n_parts, an open file; a part of `mem` is left alone: *is_mem. */
int sample_disk_part(struct sample *sample, int fd, uint64_t len, const char *path, size_t n_parts,
                     bool *is_mem, struct err *err);

/* Reads len bytes at off; -EIO when the file is shorter. */
int sample_read(int fd, uint64_t off, void *data, size_t len);

/* From a file of one key a line, "-" for standard input. */
int sample_file(struct sample *sample, const char *path, struct err *err);

#endif
