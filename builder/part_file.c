/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/part_file.h"

#include "base/scope.h"
#include "builder/helper.h"
#include "builder/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int part_file_path(const char *dir, const struct part_desc *desc, char out[PART_PATH_MAX],
                   struct err *err)
{
    char name[PART_FILE_NAME_MAX];
    part_file_name(desc, name);
    if (snprintf(out, PART_PATH_MAX, "%s/parts/%s", dir, name) >= PART_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
    return 0;
}

/* Both in turns, so that the second finds the bytes in the cache. */
static void digests_update(struct digest_state *a, struct digest_state *b, const uint8_t *data,
                           size_t len)
{
    enum { PIECE = 64 << 10 };
    for (size_t n = 0; len; data += n, len -= n) {
        n = len < PIECE ? len : PIECE;
        digest_state_update(a, data, n);
        digest_state_update(b, data, n);
    }
}

/* ---- writing ---- */

int part_file_create(struct part_file *file, struct store *store, const char *dir, uint32_t level,
                     uint32_t shard, struct err *err)
{
    char path[PART_PATH_MAX];
    *file = (struct part_file){.store = store, .dir = dir, .shard = shard, .level = level};
    if (snprintf(path, sizeof path, "%s/parts/L%02u-S%04u.part", dir, level, shard) >=
        PART_PATH_MAX)
        return err_set(err, -ENAMETOOLONG, "%s: the path is too long", dir);
    file->whole = digest_state_new();
    file->chunk = digest_state_new();
    int ret = file->whole && file->chunk ? 0 : err_sys(err, -ENOMEM, "writing a part");
    if (!ret)
        ret = store_writer_open(store, path, &file->writer, err);
    if (ret)
        part_file_release(file);
    return ret;
}

static int chunk_finish(struct part_file *file, struct err *err)
{
    struct digest digest;
    digest_state_finish(file->chunk, &digest);
    digest_state_reset(file->chunk);
    int ret = buf_add(&file->chunks, &digest, sizeof digest);
    return ret ? err_sys(err, ret, "writing a part") : 0;
}

static int part_file_append(void *context, const void *data, size_t len, struct err *err)
{
    struct part_file *file = context;
    int ret = store_writer_append(file->writer, data, len, err);
    if (ret)
        return ret;
    for (const uint8_t *from = data; len;) {
        size_t room = PART_CHUNK_LEN - (size_t)(file->len % PART_CHUNK_LEN);
        size_t n = len < room ? len : room;
        digests_update(file->whole, file->chunk, from, n);
        file->len += n;
        from += n;
        len -= n;
        if (n == room && (ret = chunk_finish(file, err)))
            return ret;
    }
    return 0;
}

struct part_sink part_file_sink(struct part_file *file)
{
    return (struct part_sink){.append = part_file_append, .context = file};
}

/* The name holds the digest: what is there under it was written by an attempt that died, or that another host gave up on. */
static int commit_once(struct part_file *file, const char *path, struct err *err)
{
    struct err why = {0};
    struct store_stat st;
    int ret = store_writer_commit(scope_take(file->writer), &why);
    if (ret == -EEXIST && !store_stat(file->store, path, &st, NULL) && st.len == file->len)
        return 0;
    return ret ? err_set(err, ret, "%s", err_text(&why, ret)) : 0;
}

int part_file_commit(struct part_file *file, const struct part_info *info, struct part_desc *out,
                     struct err *err)
{
    char path[PART_PATH_MAX];
    struct part_desc desc = {.shard = file->shard,
                             .level = file->level,
                             .len = file->len,
                             .n_keys = info->n_keys,
                             .n_tombstones = info->n_tombstones};
    int ret = file->len % PART_CHUNK_LEN ? chunk_finish(file, err) : 0;
    if (ret)
        return ret;
    digest_state_finish(file->whole, &desc.digest);
    ret = part_file_path(file->dir, &desc, path, err);
    if (!ret)
        ret = store_writer_rename(file->writer, path, err);
    if (!ret)
        ret = commit_once(file, path, err);
    if (ret)
        return ret;
    desc.chunks = (struct digest *)(void *)file->chunks.data;
    desc.n_chunks = (uint32_t)(file->chunks.len / sizeof(struct digest));
    file->chunks = (struct buf){0};
    *out = desc;
    return 0;
}

void part_file_release(struct part_file *file)
{
    store_writer_abort(file->writer);
    digest_state_free(file->whole);
    digest_state_free(file->chunk);
    buf_release(&file->chunks);
    *file = (struct part_file){0};
}

/* ---- reading ---- */

int part_file_info(struct store *store, const char *dir, const struct part_desc *desc,
                   struct paged_info *out, struct err *err)
{
    uint8_t footer[PART_FOOTER_LEN];
    char path[PART_PATH_MAX];
    struct store_reader *reader = NULL;
    uint64_t tail_off = 0;
    size_t n = 0;
    int ret = part_file_path(dir, desc, path, err);
    if (!ret)
        ret = store_reader_open(store, path, &reader, err);
    if (ret)
        return ret;
    if (desc->len >= sizeof footer)
        ret = store_reader_read(reader, desc->len - sizeof footer, footer, sizeof footer, &n, err);
    store_reader_close(reader);
    if (!ret && n != sizeof footer)
        ret = err_set(err, -EBADMSG, "%s: expected %llu bytes: truncated", path,
                      (unsigned long long)desc->len);
    return ret ? ret : paged_tail(footer, desc->len, path, &tail_off, out, err);
}

struct loading {
    struct store_reader *reader;
    const char *path;
    const struct part_desc *desc;
    struct digest_state *whole;
    struct digest_state *chunk;
    uint32_t n_checked;
    /* One is read while the one before is checked. */
    struct helper *helper;
    struct chunk_read {
        struct helper_job job;
        struct loading *loading;
        uint32_t i;
        void *data;
    } reads[2];
};

static size_t chunk_len(const struct part_desc *desc, uint32_t i)
{
    uint64_t left = desc->len - (uint64_t)i * PART_CHUNK_LEN;
    return left < PART_CHUNK_LEN ? (size_t)left : PART_CHUNK_LEN;
}

static int chunk_read(struct helper_job *job, struct err *err)
{
    const struct chunk_read *read = (struct chunk_read *)job;
    const struct loading *loading = read->loading;
    const struct part_desc *desc = loading->desc;
    uint64_t off = (uint64_t)read->i * PART_CHUNK_LEN;
    size_t len = chunk_len(desc, read->i);
    size_t n = 0;
    int ret = store_reader_read(loading->reader, off, read->data, len, &n, err);
    if (ret || n == len)
        return ret;
    return err_set(err, -EBADMSG, "%s: expected %llu bytes, found %llu: truncated", loading->path,
                   (unsigned long long)desc->len, (unsigned long long)(off + n));
}

static void chunk_begin(struct loading *loading, uint32_t i, void *data)
{
    struct chunk_read *read = &loading->reads[i % 2];
    read->job.run = chunk_read;
    read->loading = loading;
    read->i = i;
    read->data = data;
    helper_submit(loading->helper, &read->job);
}

/* Waits for the chunk that is next, and checks it. */
static int chunk_finish_read(struct loading *loading, struct err *err)
{
    const struct part_desc *desc = loading->desc;
    uint32_t i = loading->n_checked++;
    struct chunk_read *read = &loading->reads[i % 2];
    uint64_t off = (uint64_t)i * PART_CHUNK_LEN;
    size_t len = chunk_len(desc, i);
    struct digest digest;
    int ret = helper_wait(loading->helper, &read->job, err);
    if (ret)
        return ret;
    digest_state_reset(loading->chunk);
    digests_update(loading->whole, loading->chunk, read->data, len);
    digest_state_finish(loading->chunk, &digest);
    if (digest_equal(&digest, &desc->chunks[i]))
        return 0;
    return err_set(err, -EBADMSG,
                   "%s: chunk %u (bytes %llu to %llu) does not have its checksum: the file is "
                   "damaged",
                   loading->path, i, (unsigned long long)off, (unsigned long long)(off + len));
}

static void heap_free(struct part_memory *memory)
{
    if (memory->heap)
        munmap(memory->heap, memory->heap_cap);
    memory->heap = NULL;
    memory->heap_cap = 0;
}

static int heap_reserve(struct part_memory *memory, uint64_t heap_max, const char *name,
                        struct err *err)
{
    if (memory->heap_cap >= memory->len)
        return 0;
    /* Parts are about equal: the next one may be a little longer. */
    uint64_t roomy = align_up(memory->len + memory->len / 32, PART_ALIGN);
    size_t len = roomy < heap_max ? (size_t)roomy : memory->len;
    heap_free(memory);
    void *heap = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (heap == MAP_FAILED)
        return err_sys(err, -ENOMEM, "%s: %zu bytes", name, len);
    madvise(heap, len, MADV_HUGEPAGE);
    memory->heap = heap;
    memory->heap_cap = len;
    return 0;
}

static int load_to_heap(struct part_memory *memory, struct loading *loading, uint64_t heap_max,
                        struct err *err)
{
    uint32_t n = loading->desc->n_chunks;
    int ret = heap_reserve(memory, heap_max, loading->path, err);
    if (ret)
        return ret;
    uint8_t *heap = memory->heap;
    chunk_begin(loading, 0, heap);
    for (uint32_t i = 0; i < n && !ret; i++) {
        if (i + 1 < n)
            chunk_begin(loading, i + 1, heap + (size_t)(i + 1) * PART_CHUNK_LEN);
        ret = chunk_finish_read(loading, err);
    }
    memory->data = heap;
    return ret;
}

static int load_to_file(struct part_memory *memory, struct loading *loading, const char *dir,
                        struct err *err)
{
    struct scratch scratch = {.fd = -1};
    scope_free void *chunk = aligned_alloc(SCRATCH_ALIGN, PART_CHUNK_LEN);
    if (!chunk)
        return err_sys(err, -ENOMEM, "%s", loading->path);
    heap_free(memory);
    int ret = scratch_open(&scratch, dir, err);
    for (uint32_t i = 0; i < loading->desc->n_chunks && !ret; i++) {
        chunk_begin(loading, i, chunk);
        ret = chunk_finish_read(loading, err);
        if (!ret)
            ret = scratch_append(&scratch, chunk, chunk_len(loading->desc, i), err);
    }
    if (!ret) {
        void *data = mmap(NULL, memory->len, PROT_READ, MAP_SHARED, scratch.fd, 0);
        if (data == MAP_FAILED)
            ret = err_sys(err, -errno, "%s: mapping %zu bytes", loading->path, memory->len);
        else
            memory->mapped = data;
        memory->mapped_len = memory->mapped ? memory->len : 0;
        memory->data = memory->mapped;
    }
    scratch_close(&scratch);
    return ret;
}

static int load(struct part_memory *memory, struct loading *loading, uint64_t heap_max,
                const char *scratch_dir, struct err *err)
{
    const struct part_desc *desc = loading->desc;
    uint64_t n_chunks = (desc->len + PART_CHUNK_LEN - 1) / PART_CHUNK_LEN;
    if (desc->len == 0 || desc->len % PART_ALIGN || desc->n_chunks != n_chunks)
        return err_set(err, -EBADMSG, "%s: a part cannot have %llu bytes in %u chunks",
                       loading->path, (unsigned long long)desc->len, desc->n_chunks);
    if (store_reader_len(loading->reader) != desc->len)
        return err_set(err, -EBADMSG, "%s: expected %llu bytes, found %llu", loading->path,
                       (unsigned long long)desc->len,
                       (unsigned long long)store_reader_len(loading->reader));
    memory->len = (size_t)desc->len;
    int ret = desc->len <= heap_max ? load_to_heap(memory, loading, heap_max, err)
                                    : load_to_file(memory, loading, scratch_dir, err);
    if (ret)
        return ret;
    struct digest digest;
    digest_state_finish(loading->whole, &digest);
    if (!digest_equal(&digest, &desc->digest))
        return err_set(err, -EBADMSG,
                       "%s: the file does not have its checksum, but every chunk does: "
                       "version.json is at odds with itself",
                       loading->path);
    return any_part_open(memory->data, memory->len, loading->path, &memory->part, err);
}

/* All but the heap. */
static void memory_clear(struct part_memory *memory)
{
    any_part_free(memory->part);
    if (memory->mapped)
        munmap(memory->mapped, memory->mapped_len);
    *memory = (struct part_memory){.heap = memory->heap, .heap_cap = memory->heap_cap};
}

static int loading_open(struct loading *loading, struct store *store, const char *dir, char *path,
                        struct err *err)
{
    loading->path = path;
    loading->whole = digest_state_new();
    loading->chunk = digest_state_new();
    int ret = loading->whole && loading->chunk ? helper_new(&loading->helper, err)
                                               : err_sys(err, -ENOMEM, "reading a part");
    if (!ret)
        ret = part_file_path(dir, loading->desc, path, err);
    if (!ret)
        ret = store_reader_open(store, path, &loading->reader, err);
    if (!ret)
        store_reader_direct(loading->reader);
    return ret;
}

int part_memory_load(struct part_memory *memory, struct store *store, const char *dir,
                     const struct part_desc *desc, uint64_t heap_max, const char *scratch_dir,
                     struct err *err)
{
    char path[PART_PATH_MAX];
    struct loading loading = {.desc = desc};
    memory_clear(memory);
    int ret = loading_open(&loading, store, dir, path, err);
    if (!ret)
        ret = load(memory, &loading, heap_max, scratch_dir, err);
    /* First: it may still be reading. */
    helper_free(loading.helper);
    store_reader_close(loading.reader);
    digest_state_free(loading.whole);
    digest_state_free(loading.chunk);
    if (ret)
        part_memory_release(memory);
    return ret;
}

void part_memory_release(struct part_memory *memory)
{
    memory_clear(memory);
    heap_free(memory);
}
