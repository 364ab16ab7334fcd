/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fkv.h: read features through an fkv mount, thousands of keys a call.
 *
 *     fkv_table *table;
 *     fkv_batch *batch;
 *     fkv_result result;
 *
 *     if (fkv_open("/fkv/ads", NULL, &table) || fkv_batch_new(table, &batch))
 *         die(fkv_last_error());
 *     if (fkv_get_u64(batch, ids, n, NULL, &result))
 *         die(fkv_last_error());
 *     for (uint32_t i = 0; i < n; i++) {
 *         uint32_t len;
 *         const void *value = fkv_value(&result, i, &len);    NULL: there is no such key
 *         ...
 *     }
 *     fkv_batch_free(batch);
 *     fkv_close(table);
 *
 * Every batch is answered wholly by one version, which the result names. Opened as "/fkv/ads", a
 * table follows its switches: each batch gets the version that is current when it starts. Opened as
 * "/fkv/ads/v/43" or "/fkv/ads/current", it is pinned: that version stays whole while it is open,
 * and should it ever be lost, calls fail with -ESTALE; they never move to another version unasked.
 *
 * When the daemon restarts, calls reconnect and ask again until their deadline.
 *
 * C99, C++98 and later. Link with -lfkv, or `pkg-config --cflags --libs fkv`.
 *
 * Threads: a table may be shared by any number of threads. A batch serves one thread at a time:
 *   make each thread its own, and keep it. Neither is for use in a child after fork().
 * Memory: a result points into its batch, good until the batch's next call or fkv_batch_free().
 * Errors: functions return 0 or a negative errno, and write their outputs only on success.
 *   fkv_last_error() tells the story. What the codes mean:
 *
 *     -ENOENT     no such table or version
 *     -EACCES     the table's mode forbids it
 *     -EINVAL     arguments do not fit the table
 *     -ESTALE     the version asked for is not served here
 *     -EAGAIN     the version asked for is still to come
 *     -ETIMEDOUT  the deadline passed
 *     -ENOTCONN   no daemon answered in time
 *     -ENOTSUP    the table's values are not vectors; only tables of kind idx are scanned
 *     -E2BIG      too many keys or bytes for one batch
 *     -ENOMEM     no memory
 *     -EPROTO     daemon and library disagree
 */
#ifndef FKV_H
#define FKV_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FKV_EXPORT __attribute__((visibility("default")))

typedef struct fkv_table fkv_table;
typedef struct fkv_batch fkv_batch;

/*
 * How requests travel. FKV_AUTO takes the first that works: memory shared with the daemon; where
 * the daemon may not reach into this process, few keys inside one ioctl and many by write and read.
 */
enum fkv_transport { FKV_AUTO = 0, FKV_SHARED = 1, FKV_MESSAGE = 2, FKV_INLINE = 3 };

/* Zero-initialise, then set what differs. */
typedef struct fkv_options {
    enum fkv_transport transport; /* anything but FKV_AUTO: that one or fail */
    uint64_t timeout_ns;          /* of each call, reconnecting included; 0: 5 seconds */
} fkv_options;

/* Opens a table's directory in the mount, or that of one version. options may be NULL. */
FKV_EXPORT int fkv_open(const char *path, const fkv_options *options, fkv_table **out);

/* After its batches were freed. NULL is fine. */
FKV_EXPORT void fkv_close(fkv_table *table);

enum fkv_key_type { FKV_TYPE_U64 = 1, FKV_TYPE_BYTES = 2 };

typedef struct fkv_shape {
    uint64_t version; /* 0: the table has no current version yet */
    uint64_t n_keys;
    enum fkv_key_type key_type;
    uint32_t dim;       /* elements of a vector; 0: values are bytes */
    uint32_t value_len; /* bytes of a value as stored; 0: they vary */
    char elem[8];       /* "bytes", "f32", "f16", "bf16" or "i8" */
} fkv_shape;

/* What the table looks like now. A later version may look different. */
FKV_EXPORT int fkv_get_shape(fkv_table *table, fkv_shape *out);

/* A way to the daemon for one thread, with its own memory, which grows to the largest batch. */
FKV_EXPORT int fkv_batch_new(fkv_table *table, fkv_batch **out);
FKV_EXPORT void fkv_batch_free(fkv_batch *batch); /* NULL is fine */

/* What a call asks beyond its keys. Zero-initialise, then set what differs. */
typedef struct fkv_ask {
    uint64_t exact_version;    /* only this version may answer, else -ESTALE; 0: any */
    uint64_t at_least_version; /* this one or a newer, else -EAGAIN; 0: any */
    uint64_t deadline_ns;      /* on CLOCK_MONOTONIC; 0: the table's timeout from now */
    int as_f32;                /* vectors come as float[dim], not as stored */
} fkv_ask;

#define FKV_FOUND  0
#define FKV_ABSENT 1
#define FKV_FAILED 2 /* the value could not be read; ask for this key again */

typedef struct fkv_result {
    uint64_t version; /* the version that answered, for every key */
    uint32_t n_keys;
    uint32_t n_found;
    const uint8_t *status; /* of each key: FKV_FOUND, FKV_ABSENT or FKV_FAILED */
    /* the rest is for fkv_value(), or for walking values of one length: value i is at values + i
     * * stride */
    const uint8_t *values;
    const uint8_t *locs;
    uint64_t values_len;
    uint32_t stride;    /* 0: values vary in length */
    uint32_t value_len; /* of each, when they do not vary */
} fkv_result;

/* Looks up n keys, at most 1,048,576. ask may be NULL. */
FKV_EXPORT int fkv_get_u64(fkv_batch *batch, const uint64_t *keys, uint32_t n, const fkv_ask *ask,
                           fkv_result *out);

/* The same for keys of 1 to 255 bytes: key i is lens[i] bytes at keys[i]. */
FKV_EXPORT int fkv_get_bytes(fkv_batch *batch, const void *const *keys, const uint8_t *lens,
                             uint32_t n, const fkv_ask *ask, fkv_result *out);

/*
 * A place to write n u64 keys where the daemon reads them: fkv_get_u64() of this very pointer saves
 * a copy. It stays where it is while the batch lives, and the keys stay in it until they are written
 * over; a result of the batch does not survive the call. NULL without memory.
 */
FKV_EXPORT uint64_t *fkv_keys_u64(fkv_batch *batch, uint32_t n);

/*
 * The value of key i, 8-byte aligned when lengths vary; *len (may be NULL) is its length. NULL when
 * the key was not found. A value that exists and is empty is not NULL.
 */
static inline const void *fkv_value(const fkv_result *result, uint32_t i, uint32_t *len)
{
    uint32_t loc[2]; /* offset in units of 8 bytes, length */
    if (result->status[i] != FKV_FOUND)
        return NULL;
    if (result->stride) {
        if (len)
            *len = result->value_len;
        return result->values + (size_t)i * result->stride;
    }
    __builtin_memcpy(loc, result->locs + 8 * (size_t)i, sizeof loc);
    if (8 * (uint64_t)loc[0] + loc[1] > result->values_len)
        return NULL; /* no daemon says so; yet nobody shall read elsewhere */
    if (len)
        *len = loc[1];
    return result->values + 8 * (size_t)loc[0];
}

/*
 * Fills a matrix of n rows: row i, at matrix + i * row_stride (floats, at least dim), gets the
 * vector of key i converted to f32, or zeros when it was not found. dim must be the table's, else
 * -EINVAL. status (n bytes) and version may be NULL.
 */
FKV_EXPORT int fkv_get_matrix_u64(fkv_batch *batch, const uint64_t *keys, uint32_t n, uint32_t dim,
                                  float *matrix, size_t row_stride, uint8_t *status,
                                  const fkv_ask *ask, uint64_t *version);
FKV_EXPORT int fkv_get_matrix_bytes(fkv_batch *batch, const void *const *keys, const uint8_t *lens,
                                    uint32_t n, uint32_t dim, float *matrix, size_t row_stride,
                                    uint8_t *status, const fkv_ask *ask, uint64_t *version);

/*
 * Entries in order of key, of a table of kind idx:
 *
 *     fkv_scan *scan;
 *     fkv_range range = {.prefix = "user:", .prefix_len = 5};
 *     fkv_entry entry;
 *     int r = fkv_scan_new(table, &range, NULL, &scan);
 *     while (!r && (r = fkv_scan_next(scan, &entry)) == 1) {
 *         use(entry.key, entry.key_len, entry.value, entry.value_len);
 *         r = 0;
 *     }
 *     fkv_scan_free(scan);
 *
 * A scan is of one version from its first entry to its last, however long it takes and whatever is
 * switched to meanwhile. Entries come many at a time, so a step costs little.
 */
typedef struct fkv_scan fkv_scan;

/* from <= key < to. Zero-initialise, then set what the table's keys need. */
typedef struct fkv_range {
    uint64_t limit; /* entries at most; 0: all */
    /* u64 keys */
    uint64_t from_u64;
    uint64_t to_u64; /* 0: no end */
    /* byte keys: bounds of at most 256 bytes, or what keys begin with, at most 255 bytes */
    const void *from;
    size_t from_len;
    const void *to;
    size_t to_len; /* 0: no end */
    const void *prefix;
    size_t prefix_len; /* 0: none; else there are no other bounds */
} fkv_range;

typedef struct fkv_entry {
    uint64_t key_u64;  /* u64 keys */
    const void *key;   /* byte keys */
    const void *value; /* 8-byte aligned; NULL when it failed */
    uint32_t value_len;
    uint8_t key_len; /* of byte keys; 0: u64 */
    uint8_t status;  /* FKV_FOUND, or FKV_FAILED: the key is there, its value could not be read */
} fkv_entry;

/*
 * Begins one, at the version that is current now, or asked for. range may be NULL: everything. ask
 * may be NULL; its deadline is the whole scan's, and without one each fetch has the table's timeout.
 * The range is copied. One thread at a time, as a batch.
 */
FKV_EXPORT int fkv_scan_new(fkv_table *table, const fkv_range *range, const fkv_ask *ask,
                            fkv_scan **out);

/* 1 with the next entry, good until the next call; 0 at the end; or a negative errno, after which
 * another call tries again: -ENOTSUP when the table is not of kind idx. */
FKV_EXPORT int fkv_scan_next(fkv_scan *scan, fkv_entry *out);

/* The version it is of. */
FKV_EXPORT uint64_t fkv_scan_version(const fkv_scan *scan);

FKV_EXPORT void fkv_scan_free(fkv_scan *scan); /* before the table is closed; NULL is fine */

/* How this batch's last question travelled, or its first will. Never FKV_AUTO. */
FKV_EXPORT enum fkv_transport fkv_batch_transport(const fkv_batch *batch);

/* The calling thread's last failure in a sentence; "" when there was none. Good until its next
 * failing call. */
FKV_EXPORT const char *fkv_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
