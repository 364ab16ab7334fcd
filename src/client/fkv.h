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
 *         const void *value = fkv_value(&result, i, &len);     NULL when the key is absent
 *         …
 *     }
 *
 * Every batch is answered wholly by one version, named in the result. Opened by table, it is the one current when the
 * batch starts; opened by version ("/fkv/ads/v/43"), always that one.
 *
 * Link with -lfkv. C99, C++98 and later.
 *
 * Threads: a table may be shared by any number of threads; a batch belongs to one thread at a time: make one a thread.
 * Memory: a result points into its batch and is good until the batch's next call or fkv_batch_free().
 * Errors: functions return 0 or a negative errno; fkv_last_error() tells the story for the calling thread.
 *   -ENOENT     no such table or version               -EACCES    the table's mode forbids it
 *   -EINVAL     arguments do not fit the table         -ESTALE    the version asked for is not served here
 *   -EAGAIN     at_least names a version to come       -ETIMEDOUT the deadline passed
 *   -ENOTCONN   no daemon answered until the deadline  -ENOTSUP   the table's values are not vectors
 *   -EPROTO     daemon and library disagree            -ENOMEM, -E2BIG
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

/* How requests travel. FKV_AUTO takes the first that works: shared memory, then inline (few keys) or write and read. */
enum fkv_transport { FKV_AUTO = 0, FKV_SHARED = 1, FKV_MESSAGE = 2, FKV_INLINE = 3 };

/* Zero-initialise, then set what differs. */
typedef struct fkv_options {
    enum fkv_transport transport;
    uint64_t timeout_ns; /* for each call, reconnecting included; 0: 5 seconds */
} fkv_options;

/* Opens a table's directory in the mount, or one version's. options may be NULL. */
FKV_EXPORT int fkv_open(const char *path, const fkv_options *options, fkv_table **out);
FKV_EXPORT void fkv_close(fkv_table *table); /* after its batches; NULL is fine */

enum fkv_key_type { FKV_TYPE_U64 = 1, FKV_TYPE_BYTES = 2 };

/* What the table looks like now. A later version may differ. */
typedef struct fkv_shape {
    uint64_t version; /* 0: the table has no current version yet */
    uint64_t n_keys;
    enum fkv_key_type key_type;
    uint32_t dim;       /* elements of a vector; 0: values are bytes */
    uint32_t value_len; /* bytes of a value as stored; 0: they vary */
    char elem[8];       /* "bytes", "f32", "f16", "bf16" or "i8" */
} fkv_shape;
FKV_EXPORT int fkv_get_shape(fkv_table *table, fkv_shape *out);

/* Room for batches of one thread: its own descriptor on the mount and its own shared memory, which grows on demand. */
FKV_EXPORT int fkv_batch_new(fkv_table *table, fkv_batch **out);
FKV_EXPORT void fkv_batch_free(fkv_batch *batch); /* NULL is fine */

/* What a call asks beyond its keys; zero-initialise. */
typedef struct fkv_ask {
    uint64_t exact_version;    /* only this version may answer; 0: any */
    uint64_t at_least_version; /* this version or newer; 0: any */
    uint64_t deadline_ns;      /* CLOCK_MONOTONIC; 0: the table's timeout from now */
    int as_f32;                /* vectors come back as float[dim] instead of as stored */
} fkv_ask;

typedef struct fkv_result {
    uint64_t version; /* the version that answered every key */
    uint32_t n_keys;
    uint32_t n_found;
    const uint8_t *status; /* a key each: FKV_FOUND … */
    /* for fkv_value() */
    const uint8_t *values;
    const uint8_t *locs;
    uint32_t stride;
} fkv_result;

#define FKV_FOUND  0
#define FKV_ABSENT 1
#define FKV_FAILED 2 /* the value could not be read; ask again */

/* Looks up n keys (at most 1,048,576). ask may be NULL. */
FKV_EXPORT int fkv_get_u64(fkv_batch *batch, const uint64_t *keys, uint32_t n, const fkv_ask *ask,
                           fkv_result *out);

/* Keys of 1 to 255 bytes: key i is lens[i] bytes at keys[i]. */
FKV_EXPORT int fkv_get_bytes(fkv_batch *batch, const void *const *keys, const uint8_t *lens,
                             uint32_t n, const fkv_ask *ask, fkv_result *out);

/* Where keys may be written in place: room for n u64 keys in the batch's own memory. Passing the same pointer to fkv_get_u64() saves
 * a copy. Good until the batch's next call; NULL without memory. */
FKV_EXPORT uint64_t *fkv_keys_u64(fkv_batch *batch, uint32_t n);

/* Value of key i, or NULL when it is absent; *len (may be NULL) is its length. A value that exists and is empty is not NULL. */
static inline const void *fkv_value(const fkv_result *result, uint32_t i, uint32_t *len)
{
    uint32_t loc[2] = {0, result->stride};
    if (result->status[i] != FKV_FOUND)
        return NULL;
    if (result->stride) {
        if (len)
            *len = result->stride;
        return result->values + (size_t)i * result->stride;
    }
    __builtin_memcpy(loc, result->locs + 8 * (size_t)i, sizeof loc);
    if (len)
        *len = loc[1];
    return result->values + 8 * (size_t)loc[0];
}

/*
 * Fills rows of a matrix: row i (at matrix + i * row_stride floats) gets the vector of key i, converted to f32; rows of absent keys
 * become zeros. status (may be NULL) has n bytes. row_stride is at least dim. *version may be NULL.
 */
FKV_EXPORT int fkv_get_matrix_u64(fkv_batch *batch, const uint64_t *keys, uint32_t n, uint32_t dim,
                                  float *matrix, size_t row_stride, uint8_t *status,
                                  const fkv_ask *ask, uint64_t *version);
FKV_EXPORT int fkv_get_matrix_bytes(fkv_batch *batch, const void *const *keys, const uint8_t *lens,
                                    uint32_t n, uint32_t dim, float *matrix, size_t row_stride,
                                    uint8_t *status, const fkv_ask *ask, uint64_t *version);

/* The transport this batch uses now. */
FKV_EXPORT enum fkv_transport fkv_batch_transport(const fkv_batch *batch);

/* The calling thread's last failure as a sentence; "" when there was none. Good until its next failing call. */
FKV_EXPORT const char *fkv_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
