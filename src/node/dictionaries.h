/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dictionaries: zstd dictionaries made ready, each content once: all parts of a level mostly have
 * the same one, and made ready it takes several times its length.
 *
 * Threads: everything from any thread. Memory: a dictionary lives while it is held.
 * Errors: -ENOMEM.
 */
#ifndef FKV_NODE_DICTIONARIES_H
#define FKV_NODE_DICTIONARIES_H

#include "base/hash.h"
#include "codec/zstd_value.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

struct shared_dictionary {
    struct digest digest; /* of the content */
    size_t len;
    struct zstd_dictionary *dictionary;
    uint64_t n_holders;
    struct shared_dictionary *next;
};

struct dictionaries {
    pthread_mutex_t lock;
    struct shared_dictionary *first;
};

void dictionaries_init(struct dictionaries *dictionaries);
/* Every one must have been let go. */
void dictionaries_release(struct dictionaries *dictionaries);

/* The dictionary of that content, held once more; NULL for len 0. */
int dictionaries_hold(struct dictionaries *dictionaries, const void *data, size_t len,
                      struct shared_dictionary **out, struct err *err);
/* NULL is fine. */
void dictionaries_let_go(struct dictionaries *dictionaries, struct shared_dictionary *shared);

#endif
