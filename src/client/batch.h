/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch: a thread's own way to the daemon: channel, carrier, and the patience to try again.
 *
 * Threads: one at a time. Memory: borrows the table.
 */
#ifndef FKV_CLIENT_BATCH_H
#define FKV_CLIENT_BATCH_H

#include "client/carrier.h"
#include "client/table.h"

struct fkv_batch {
    const struct fkv_table *table;
    struct channel channel;
    struct carrier carrier;
};

/* The protocol's words for a wish, with the pinned version; -EINVAL, -ESTALE, -EAGAIN when it cannot
 * come true. */
int batch_question(const struct fkv_batch *batch, const struct keys *keys,
                   const struct fkv_ask *ask, uint32_t flags, struct question *out,
                   struct err *err);

/* Asks it, reconnecting until its deadline. */
int batch_ask_until(struct fkv_batch *batch, const struct question *question, struct answer *out,
                    struct err *err);

/*
 * Asks for keys, in the form `flags` (FKV_FORM_*), reconnecting until the deadline. Success means
 * that every key was answered by one version. Keeps the sentence of a failure for fkv_last_error().
 */
int batch_ask(struct fkv_batch *batch, const struct keys *keys, const struct fkv_ask *ask,
              uint32_t form, struct answer *out);

#endif
