/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keyfile: the inodes of key/<key>, the only ones that have to be remembered.
 *
 * A serial number is a slot and the slot's generation, so a number is never used for two keys. The
 * kernel counts its lookups of a number and takes them back with forget; a slot is free when its
 * count is 0. Since the kernel forgets only when memory is short, beyond KEYFILES_KEEP the oldest
 * ones are handed out to be invalidated, which makes it forget them.
 *
 * Threads: any; a lock guards the table and is held for a few instructions. Memory:
 * keyfiles_free().
 * Errors: -ENOMEM, -ENFILE with KEYFILES_MAX in use.
 */
#ifndef FKV_FUSE_KEYFILE_H
#define FKV_FUSE_KEYFILE_H

#include "fuse/value.h"

#include <stdbool.h>

enum { KEYFILES_KEEP = 1 << 16, KEYFILES_MAX = 1 << 20 };

struct keyfile {
    uint32_t table;
    uint64_t version;
    uint64_t value_len;
    char name[VALUE_NAME_MAX + 1]; /* as it was asked for: a byte key has many spellings */
};

struct keyfiles;
int keyfiles_new(struct keyfiles **out);
void keyfiles_free(struct keyfiles *keyfiles);

/* Remembers a key with one lookup. */
int keyfiles_add(struct keyfiles *keyfiles, const struct keyfile *keyfile, uint64_t *serial);
/* A copy of it; false for a number that is not in use. */
bool keyfiles_get(struct keyfiles *keyfiles, uint64_t serial, struct keyfile *out);
void keyfiles_forget(struct keyfiles *keyfiles, uint64_t serial, uint64_t n_lookups);
size_t keyfiles_count(struct keyfiles *keyfiles);

/* One that should be invalidated because there are too many; false when there are not. */
bool keyfiles_oldest(struct keyfiles *keyfiles, struct keyfile *out);

#endif
