/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run: entries in order, in memory (a sorted arena) or spilled (a stretch of a file). Readers do not tell them apart.
 *
 * A spilled run keeps a fence every RUN_FENCE_LEN bytes, so that a shard's share of it, a range of hashes, is found at once. That
 * holds in order of key too, for ranges of whole shards of that order: no other range is asked for then.
 *
 * Threads: a writer or reader belongs to one thread; a finished run is immutable.
 * Memory: a writer holds RUN_WRITER_MEMORY bytes, a reader nothing, a spilled run 16 bytes a fence.
 * Errors: of the file; -ENOMEM.
 */
#ifndef FKV_BUILDER_RUN_H
#define FKV_BUILDER_RUN_H

#include "base/buf.h"
#include "builder/arena.h"
#include "builder/run_buffer.h"
#include "builder/run_file.h"

enum {
    RUN_FENCE_LEN = 256 << 10,
    RUN_WRITE_LEN = 1 << 20,
    RUN_WRITER_MEMORY = 2 * RUN_WRITE_LEN,
};

struct run_fence {
    uint64_t hash; /* of the first record at or behind off */
    uint64_t off;  /* from the run's start */
};

struct run {
    const struct arena *arena;   /* in memory, or */
    const struct run_file *file; /* in a file at [off, off + len) */
    uint64_t off;
    uint64_t len;
    struct run_fence *fences;
    size_t n_fences;
};

void run_release(struct run *run);

/* The shortest buffer to read it with; 0 for a run in memory. */
static inline size_t run_read_min(const struct run *run)
{
    return run->arena ? 0 : 2 * (size_t)run->file->align;
}

/* Appends one run to a file, behind the back of who adds to it: one buffer is filled while a helper writes the other. */
struct run_writer {
    struct run_file *file;
    uint8_t *buffer; /* the one being filled */
    size_t fill;
    uint8_t *behind; /* the other */
    size_t behind_len;
    struct helper *helper;
    struct helper_job job;
    bool is_behind; /* behind[0, behind_len) is being written */
    uint64_t off;   /* where the run starts in the file */
    uint64_t len;   /* bytes added */
    struct buf fences;
};
int run_writer_init(struct run_writer *writer, struct run_file *file, struct err *err);
void run_writer_release(struct run_writer *writer);
/* A whole record; value may lie elsewhere than head and key. */
int run_writer_add(struct run_writer *writer, const struct record_head *head, const uint8_t *key,
                   const uint8_t *value, struct err *err);
/* *out is released by the caller; the writer can begin the next run. */
int run_writer_finish(struct run_writer *writer, struct run *out, struct err *err);

/* Writes a sorted arena as a run. */
int run_spill(struct run_writer *writer, const struct arena *arena, struct run *out,
              struct err *err);

/* Reads the records of hashes [first, last]. */
struct run_reader {
    const struct run *run;
    uint64_t hash_seed;
    uint64_t last;
    size_t slot; /* in memory: the next one */
    struct run_buffer buffer;
    uint64_t next; /* offset of the next record, in the file */
    uint64_t end;  /* of those that may be wanted */
    /* The record that run_reader_next() moved to. */
    const uint8_t *record; /* head and key, in memory */
    bool is_whole;         /* the value follows them */
    uint64_t record_off;   /* in the file */
    struct run_entry view;
};
/* memory is the caller's, at least run_read_min() of it; a run in memory needs none. A reader does not move, and its memory goes after
 * the helper. */
int run_reader_open(struct run_reader *reader, const struct run *run, uint64_t hash_seed,
                    uint64_t first, uint64_t last, struct run_memory memory, struct err *err);
/* 1 with a record, 0 at the end. The record lives until the next call. */
int run_reader_next(struct run_reader *reader, struct err *err);
/* Completes reader->view.entry.value of a record that is longer than the buffer; big keeps it. */
int run_reader_value(struct run_reader *reader, struct buf *big, struct err *err);

#endif
