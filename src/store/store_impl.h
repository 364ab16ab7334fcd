/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_impl: what store.c, store_reader.c and store_writer.c share.
 *
 * Threads: a struct store is immutable once open.
 */
#ifndef FKV_STORE_STORE_IMPL_H
#define FKV_STORE_STORE_IMPL_H

#include "store/backend.h"

struct store {
    struct backend *backend;
    char url[];
};

/* Makes a temporary file beside path; its name goes to temporary. */
int store_create_temporary(struct store *store, const char *path, char temporary[STORE_PATH_MAX],
                           struct backend_file **out, struct err *err);
/* Removes it again; a failure leaves it to gc. */
void store_drop_temporary(struct store *store, const char *temporary);

#endif
