/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache: the files of versions on this machine's own disk.
 *
 *   <cache>/lock                               held by the one daemon that uses it
 *   <cache>/state.json                         cache_state.h
 *   <cache>/parts/<digest>.part                a part, shared by all versions that hold it
 *   <cache>/parts/<digest>.partial             one that is being fetched
 *   <cache>/tables/<table>/<id>/version.json
 *
 * Nothing read from it is believed: version.json is checked against its digest here, parts chunk by
 * chunk when they are loaded.
 *
 * Threads: everything from any thread; two threads must not write one name at a time. Memory:
 * cache_close().
 * Errors: -EBUSY when another daemon has the lock, -EBADMSG, -ENOENT, -errno with the path.
 */
#ifndef FKV_NODE_CACHE_H
#define FKV_NODE_CACHE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "io/reader.h"

#include <stdbool.h>
#include <stdint.h>

enum { CACHE_PATH_MAX = 256 };

/* Disk that stays free for others, and for the file system's own needs. */
#define CACHE_RESERVE (64ULL << 20)

struct cache;

/* Makes what is missing, takes the lock. */
int cache_open(const char *dir, struct cache **out, struct err *err);
void cache_close(struct cache *cache);
const char *cache_dir(const struct cache *cache);

/* "tables/<table>/<id>/version.json", below the cache's directory. */
void cache_version_path(const char *table, uint64_t id, char out[CACHE_PATH_MAX]);
/* Appends the bytes, checked against digest. */
int cache_version_get(const struct cache *cache, const char *table, uint64_t id,
                      const struct digest *digest, struct buf *out, struct err *err);
int cache_version_put(const struct cache *cache, const char *table, uint64_t id, const void *json,
                      size_t len, struct err *err);
int cache_version_remove(const struct cache *cache, const char *table, uint64_t id,
                         struct err *err);

/* A descriptor to read a part, or -errno. */
int cache_part_open(const struct cache *cache, const struct digest *digest);
/* The same for random reads of its blocks; the caller closes out->fd. */
int cache_part_open_blocks(const struct cache *cache, const struct digest *digest,
                           struct reader_file *out, struct err *err);
/* True when the part is there with that length (its content is checked when it is loaded). */
bool cache_part_is_there(const struct cache *cache, const struct digest *digest, uint64_t len);
void cache_part_remove(const struct cache *cache, const struct digest *digest);
/* A damaged part becomes a partial one: the next fetch keeps its good chunks. */
void cache_part_demote(const struct cache *cache, const struct digest *digest);

/* A part on its way in: a descriptor to write (and to read what an earlier try left), then its
 * name, which is durable after cache_parts_sync(). */
int cache_partial_open(const struct cache *cache, const struct digest *digest, struct err *err);
int cache_partial_commit(const struct cache *cache, const struct digest *digest, int fd,
                         struct err *err);
int cache_parts_sync(const struct cache *cache, struct err *err);
/* Room taken by an earlier try; 0 without one. */
uint64_t cache_partial_len(const struct cache *cache, const struct digest *digest);

/* Removes every part and partial that keep() does not name. keep is called with a part's digest. */
typedef bool (*cache_keep_fn)(void *context, const struct digest *digest);
int cache_parts_sweep(const struct cache *cache, cache_keep_fn keep, void *context,
                      struct err *err);

/* Removes every version directory that keep() does not name. */
typedef bool (*cache_keep_version_fn)(void *context, const char *table, uint64_t id);
int cache_versions_sweep(const struct cache *cache, cache_keep_version_fn keep, void *context,
                         struct err *err);

/* Room that parts and partials take, as last measured: at the start, and by cache_measure(). */
uint64_t cache_used(const struct cache *cache);
void cache_measure(struct cache *cache);
/* How much they may take: limit, or what the disk holds less what is kept back for others,
 * whichever is less (limit 0: the latter). */
uint64_t cache_capacity(const struct cache *cache, uint64_t limit);
/* Measures. Do need bytes more fit? -ENOSPC with the figures, and how much it is too much. */
int cache_check_room(struct cache *cache, uint64_t limit, uint64_t need, uint64_t *over,
                     struct err *err);

/* state.json as bytes; see cache_state.h. -ENOENT when there is none. */
int cache_state_get(const struct cache *cache, struct buf *out, struct err *err);
int cache_state_put(const struct cache *cache, const void *json, size_t len, struct err *err);

#endif
