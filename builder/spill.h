/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spill: the sorted runs of one map task as a file on the store, which the reduce tasks of other hosts read.
 *
 *   runs       one after the other, each padded to SPILL_BLOCK_LEN
 *   sample     values to train a dictionary on (value_sample.h); may be empty
 *   index      per run its place and fences; a digest for each SPILL_BLOCK_LEN of runs
 *   footer     SPILL_FOOTER_LEN bytes: magic, places of the above, digest of sample and index
 *
 * Whoever reads knows the footer's digest from the map task's marker, so no byte is believed that was not written by that task: a
 * block is checked each time it is read. Only this version of fkv reads such a file; its tasks are planned, mapped and reduced by one
 * version.
 *
 * Threads: one at a time each; any number of spills of one file. Memory: writing, the fences and 16 bytes a block, and the store's
 * buffers; reading, the same, and runs' buffers elsewhere.
 * Errors: store errors; -EBADMSG naming the file and block.
 */
#ifndef FKV_BUILDER_SPILL_H
#define FKV_BUILDER_SPILL_H

#include "base/hash.h"
#include "builder/run.h"
#include "builder/value_sample.h"
#include "store/store.h"

enum { SPILL_BLOCK_LEN = 64 << 10, SPILL_FOOTER_LEN = 128 };

struct spill_writer {
    struct run_file file; /* what run_writer appends to */
    struct store_writer *writer;
    struct buf index; /* of the runs so far */
    uint32_t n_runs;
    struct buf digests; /* struct digest each */
};
int spill_writer_open(struct spill_writer *spill, struct store *store, const char *path,
                      struct err *err);
/* A finished run of this file, in order of place; it may be released afterwards. */
int spill_writer_add(struct spill_writer *spill, const struct run *run, struct err *err);
/* sample may be empty. *digest is what spill_open() wants. */
int spill_writer_commit(struct spill_writer *spill, const struct value_sample *sample,
                        struct digest *digest, uint64_t *len, struct err *err);
/* Gives up when not committed; accepts a zero-initialised one. */
void spill_writer_release(struct spill_writer *spill);

struct spill_files;

struct spill {
    struct run_file file;
    struct store *store;
    struct store_reader *reader; /* NULL while it has given way, see spill_files */
    struct spill_files *files;   /* NULL: it stays open */
    uint32_t place;              /* among files->open, while both files and reader are there */
    char path[STORE_PATH_MAX];
    struct run *runs;
    uint32_t n_runs;
    struct digest *digests;
    uint64_t n_blocks;
    uint64_t sample_len;
    struct buf tail; /* the sample and what follows; empty without a sample */
};
int spill_open(struct spill *spill, struct store *store, const char *path,
               const struct digest *digest, struct err *err);
/* Adds the file's sample to `sample`. */
int spill_sample(const struct spill *spill, struct value_sample *sample, struct err *err);
void spill_close(struct spill *spill);

/*
 * Spills of which so many at most are open at once: a merge reads all of a task's, which may be more than the process may have open. One
 * that is read while it is not open takes the place of the one that was opened longest ago.
 *
 * Threads: one at a time for all of its spills. Memory: 8 bytes a place. It outlives its spills.
 */
struct spill_files {
    struct spill **open; /* n_max places, NULL where there is none */
    uint32_t n_max;
    uint32_t next; /* the place to be taken next */
};
int spill_files_init(struct spill_files *files, uint32_t n_max, struct err *err);
void spill_files_release(struct spill_files *files);
/* The spill was just opened. */
void spill_files_add(struct spill_files *files, struct spill *spill);
/* How many each of n_sharers should have: half of what this process may have open goes to them, and each has one at
 * least. */
uint32_t spill_files_share(uint32_t n_sharers);

#endif
