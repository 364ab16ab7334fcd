/* SPDX-License-Identifier: Apache-2.0 */
/*
 * part_file: a part as a file on the store: written with its checksums taken on the way, read back and checked.
 *
 * Parts are read once, so around the page cache, and a chunk is checked while the next one is read.
 *
 * Threads: one at a time each. Memory: writing, two digest states; reading, the whole part: in memory, or, when it is longer
 * than the caller's limit, in an unnamed scratch file that is mapped, which the kernel can push out.
 * Errors: -EBADMSG naming file and chunk, store errors, -ENOMEM.
 */
#ifndef FKV_BUILDER_PART_FILE_H
#define FKV_BUILDER_PART_FILE_H

#include "base/buf.h"
#include "format/any_part.h"
#include "format/part_writer.h"
#include "format/version.h"
#include "store/store.h"

#include <stdbool.h>

/* tables/<table>/staging/<task> or …/v/<id>, then /parts/<file> */
enum { PART_PATH_MAX = STORE_PATH_MAX };

struct part_file {
    struct store *store;
    struct store_writer *writer;
    const char *dir; /* borrowed */
    uint32_t shard;
    uint32_t level;
    struct digest_state *whole;
    struct digest_state *chunk;
    struct buf chunks; /* struct digest each */
    uint64_t len;
};

int part_file_create(struct part_file *file, struct store *store, const char *dir, uint32_t level,
                     uint32_t shard, struct err *err);
/* Where a part_writer sends its bytes. */
struct part_sink part_file_sink(struct part_file *file);
/* Commits under the name that its content gives, and describes it: *out is released with its version_desc. */
int part_file_commit(struct part_file *file, const struct part_info *info, struct part_desc *out,
                     struct err *err);
/* Gives up when not committed; accepts a zero-initialised one. */
void part_file_release(struct part_file *file);

/* The path of a part below dir. */
int part_file_path(const char *dir, const struct part_desc *desc, char out[PART_PATH_MAX],
                   struct err *err);

/* What the footer of a part of kind blk or idx says, and only that: its own checksum is compared. */
int part_file_info(struct store *store, const char *dir, const struct part_desc *desc,
                   struct paged_info *out, struct err *err);

struct part_memory {
    const void *data;
    size_t len;
    struct any_part *part;
    /* Kept from one part to the next: fresh memory costs as much to clear as the part to read. */
    void *heap;
    size_t heap_cap;
    /* Of a longer part, where it is mapped. */
    void *mapped;
    size_t mapped_len;
};

/* Reads, compares all digests, opens. heap_max: see above; scratch_dir is used beyond it. *memory is zero-initialised, or has held
 * another part, which goes. */
int part_memory_load(struct part_memory *memory, struct store *store, const char *dir,
                     const struct part_desc *desc, uint64_t heap_max, const char *scratch_dir,
                     struct err *err);
void part_memory_release(struct part_memory *memory);

#endif
