/* SPDX-License-Identifier: Apache-2.0 */
/*
 * job: what to build: inputs, schema, policies. Plain data that the command line (later a job file) fills.
 *
 * Threads: plain data. Memory: the job borrows its strings from the caller.
 * Errors: job_check(): -EINVAL with the flag and what it takes.
 */
#ifndef FKV_BUILDER_JOB_H
#define FKV_BUILDER_JOB_H

#include "base/err.h"
#include "format/schema.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum input_format {
    INPUT_AUTO, /* by the file's name: .tsv .csv .jsonl .ndjson .rec .fkvrec, then .zst or .gz */
    INPUT_TSV,
    INPUT_CSV,     /* RFC 4180 */
    INPUT_JSONL,   /* {"key": …, "value": …}; a delta may say {"key": …, "deleted": true} */
    INPUT_RECORD,  /* FeatureKV's record format */
    INPUT_PARQUET, /* through DuckDB */
    INPUT_SQL,     /* the input is a query, not a file; through DuckDB */
};

enum duplicate_policy {
    DUPLICATE_ERROR, /* names both places */
    DUPLICATE_FIRST, /* in the order of inputs, then lines */
    DUPLICATE_LAST,
};

enum compress_policy {
    COMPRESS_AUTO, /* when a sample says that it pays */
    COMPRESS_NONE,
    COMPRESS_ZSTD,
};

/* What of the schema the job says itself; the rest is the last version's, see inherit.h. */
struct schema_given {
    bool kind;
    bool key;
    bool value;
    bool shards;
    bool seed;
    bool owner;
    bool group;
    bool mode;
};

struct job {
    const char *table;
    const char *task; /* name of the staging directory; NULL: made from time and pid */
    const char *const *inputs;
    size_t n_inputs;
    enum input_format format;
    bool header; /* the first line of each TSV/CSV file names columns and is skipped */
    const char *
        key_column; /* TSV/CSV column (1-based number or, with header, a name); JSON member. NULL: 1 / "key" */
    const char *value_column; /* NULL: 2 / "value" */
    struct schema schema;     /* n_shards 0: chosen from the input's size */
    struct schema_given given;
    bool is_delta;
    uint64_t base;  /* of a delta; 0: the newest version that may carry one */
    bool diff_base; /* the inputs hold the whole table; the delta is what differs from the base */
    /* of a delta of vectors: keys whose vector lies no farther (L2) from the base's are left out; 0: none */
    double min_distance;
    /* delta TSV/CSV: a row with a key only (no value field) deletes the key */
    bool tombstones_file_mode;
    enum duplicate_policy duplicates;
    /* Of tables on disk; a `mem` table keeps its values as they are. */
    enum compress_policy compress;
    int compress_level;   /* 1 to 19; 0: ZSTD_VALUE_LEVEL */
    bool no_filter;       /* blk, idx of bytes keys: none in level 0; a byte of memory a key less */
    uint32_t block_pages; /* of 4 KiB, that values are packed into; 0: chosen by their length */
    uint64_t max_bad;     /* rows that may be rejected */
    uint64_t memory;      /* bytes, at least JOB_MEMORY_MIN */
    uint32_t n_threads;   /* 0: one a CPU */
    const char *scratch;  /* directory of spill files; NULL: $TMPDIR or /var/tmp */
    const char *author;   /* NULL: user@host */
};

enum { THREADS_MAX = 1024 };

#define JOB_MEMORY_MIN     (64ULL << 20)
#define JOB_MEMORY_DEFAULT (2ULL << 30)

int job_check(const struct job *job, struct err *err);

#endif
