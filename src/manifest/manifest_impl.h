/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest_impl: what the manifest*.c files share.
 *
 * Threads, Memory, Errors: as manifest.h.
 */
#ifndef FKV_MANIFEST_MANIFEST_IMPL_H
#define FKV_MANIFEST_MANIFEST_IMPL_H

#include "manifest/manifest.h"
#include "store/clock.h"

struct manifest {
    struct store *store;
    char id[RECORD_NONCE_LEN + 1];
    struct state state;
    uint64_t snapshot_seq; /* of the snapshot it was opened from; 0: none */
    struct store_time time;
    int64_t clock_until_ns; /* CLOCK_MONOTONIC: when the store's clock is read again */
    int64_t clock_set_ns;   /* when it was seen that it had been set; 0: never */
    int64_t put_cost_ns;    /* what writing the last record took; 0: none was */
};

/*
 * Folds up to the end of the log. When a record carries nonce (may be NULL), *own is set to its number, even if
 * a later record then fails.
 */
int manifest_fold(struct manifest *manifest, const char *nonce, uint64_t *own, size_t *n_new,
                  struct err *err);

/* Reads the newest snapshot and folds what came after it into a state that is empty (manifest_load.c). */
int manifest_load(struct manifest *manifest, struct err *err);
/* The id in store.json (manifest_init.c). */
int manifest_read_id(struct store *store, char id[RECORD_NONCE_LEN + 1], struct err *err);

/* 16 random bytes as hex: nonces and the store's id. */
int manifest_random_hex(char out[RECORD_NONCE_LEN + 1], struct err *err);

#endif
