/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manifest_impl: what manifest.c and manifest_append.c share.
 *
 * Threads, Memory, Errors: as manifest.h.
 */
#ifndef FKV_MANIFEST_MANIFEST_IMPL_H
#define FKV_MANIFEST_MANIFEST_IMPL_H

#include "manifest/manifest.h"

struct manifest {
    struct store *store;
    char id[RECORD_NONCE_LEN + 1];
    struct state state;
    uint64_t snapshot_seq; /* of the newest snapshot seen or written; 0: none */
};

/*
 * Folds up to the end of the log. When a record carries nonce (may be NULL), *own is set to its number, even if
 * a later record then fails.
 */
int manifest_fold(struct manifest *manifest, const char *nonce, uint64_t *own, size_t *n_new,
                  struct err *err);

/* 16 random bytes as hex: nonces and the store's id. */
int manifest_random_hex(char out[RECORD_NONCE_LEN + 1], struct err *err);

#endif
