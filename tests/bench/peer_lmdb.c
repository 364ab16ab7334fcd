/* SPDX-License-Identifier: Apache-2.0 */
#include "peer.h"

#include "bench_keys.h"

#include <lmdb.h>
#include <stdio.h>

static MDB_env *env;
static MDB_dbi dbi;
static MDB_txn *reader;

static void must(struct peer *peer, int r)
{
    if (r)
        peer_fail(peer, mdb_strerror(r));
}

static void load(struct peer *peer, const char *dir, const struct peer_entry *entries, uint64_t n)
{
    MDB_txn *txn = NULL;
    uint8_t value[VALUE_LEN];
    snprintf(peer->version, sizeof peer->version, "%d.%d.%d", MDB_VERSION_MAJOR, MDB_VERSION_MINOR,
             MDB_VERSION_PATCH);
    must(peer, mdb_env_create(&env));
    must(peer, mdb_env_set_mapsize(env, (size_t)64 << 30));
    must(peer, mdb_env_open(env, dir, MDB_NOSYNC | MDB_WRITEMAP | MDB_NORDAHEAD, 0600));
    must(peer, mdb_txn_begin(env, NULL, 0, &txn));
    must(peer, mdb_dbi_open(txn, NULL, 0, &dbi));
    for (uint64_t i = 0; i < n; i++) {
        uint64_t key_be = entries[i].key_be;
        MDB_val key = {sizeof key_be, &key_be};
        MDB_val data = {VALUE_LEN, value};
        bench_value(entries[i].key, 1, value);
        must(peer, mdb_put(txn, dbi, &key, &data, MDB_APPEND));
    }
    must(peer, mdb_txn_commit(txn));
    must(peer, mdb_txn_begin(env, NULL, MDB_RDONLY, &reader));
}

static void get(struct peer *peer, const uint64_t *keys, uint32_t n, const void **values)
{
    mdb_txn_reset(reader);
    must(peer, mdb_txn_renew(reader));
    for (uint32_t i = 0; i < n; i++) {
        uint64_t key_be = __builtin_bswap64(keys[i]);
        MDB_val key = {sizeof key_be, &key_be};
        MDB_val data;
        values[i] = mdb_get(reader, dbi, &key, &data) ? NULL : data.mv_data;
    }
}

static void close_peer(struct peer *peer)
{
    mdb_txn_abort(reader);
    mdb_env_close(env);
}

struct peer peer_lmdb = {.name = "LMDB",
                         .settings = "appended in order, one read transaction a batch, page cache",
                         .load = load,
                         .get = get,
                         .close = close_peer};
