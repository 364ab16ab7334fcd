/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "client/fkv.h"

#include <stdio.h>

static fkv_table *table;
static fkv_batch *batch;

static void load(struct peer *peer, const char *dir, const struct peer_entry *entries, uint64_t n)
{
    fkv_options options = {.transport = FKV_SHARED};
    snprintf(peer->version, sizeof peer->version, "%s", FKV_VERSION);
    if (fkv_open(dir, &options, &table) || fkv_batch_new(table, &batch))
        peer_fail(peer, fkv_last_error());
}

static uint64_t *keys_room(struct peer *peer, uint32_t n)
{
    return fkv_keys_u64(batch, n);
}

static void get(struct peer *peer, const uint64_t *keys, uint32_t n, const void **values)
{
    fkv_result result;
    if (fkv_get_u64(batch, keys, n, NULL, &result))
        peer_fail(peer, fkv_last_error());
    for (uint32_t i = 0; i < n; i++)
        values[i] = fkv_value(&result, i, NULL);
}

static void close_peer(struct peer *peer)
{
    fkv_batch_free(batch);
    fkv_close(table);
}

struct peer peer_fkv = {.name = "fkv, through the mount",
                        .settings = "shared memory, one ioctl a batch",
                        .load = load,
                        .get = get,
                        .keys = keys_room,
                        .close = close_peer};
