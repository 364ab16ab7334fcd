/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/spill.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SPILL_MAGIC "fkvspil1"

enum {
    RUN_HEAD_LEN = 24,     /* u64 off, len, n_fences */
    FENCE_LEN = 16,        /* u64 hash, off */
    SAMPLED_HEAD_LEN = 24, /* u64 hash, seq, u32 len, full_len */
    RUNS_MAX = 1 << 20,
};

/* The footer's fields. */
enum {
    AT_MAGIC = 0,
    AT_DATA_LEN = 8,
    AT_SAMPLE_LEN = 16,
    AT_INDEX_LEN = 24,
    AT_N_RUNS = 32,
    AT_DIGEST = 48, /* of sample and index */
};

static int add_u64s(struct buf *buf, const uint64_t *values, size_t n)
{
    int ret = buf_reserve(buf, 8 * n);
    for (size_t i = 0; i < n && !ret; i++) {
        uint8_t bytes[8];
        store_le64(bytes, values[i]);
        ret = buf_add(buf, bytes, sizeof bytes);
    }
    return ret;
}

/* ---- writing ---- */

static int spill_append(struct run_file *file, const void *data, size_t len, struct err *err)
{
    struct spill_writer *spill = (struct spill_writer *)file;
    const uint8_t *from = data;
    for (size_t off = 0; off < len; off += SPILL_BLOCK_LEN) {
        struct digest digest;
        digest_of(from + off, SPILL_BLOCK_LEN, &digest);
        int ret = buf_add(&spill->digests, &digest, sizeof digest);
        if (ret)
            return err_sys(err, ret, "spilling sorted runs");
    }
    file->len += len;
    return store_writer_append(spill->writer, data, len, err);
}

static int write_only(const struct run_file *file, uint64_t off, void *data, size_t len,
                      struct err *err)
{
    return err_set(err, -EIO, "a spill file cannot be read while it is written");
}

int spill_writer_open(struct spill_writer *spill, struct store *store, const char *path,
                      struct err *err)
{
    static const struct run_file_ops ops = {.append = spill_append, .read = write_only};
    *spill = (struct spill_writer){.file = {.ops = &ops, .align = SPILL_BLOCK_LEN}};
    return store_writer_open(store, path, &spill->writer, err);
}

int spill_writer_add(struct spill_writer *spill, const struct run *run, struct err *err)
{
    uint64_t head[3] = {run->off, run->len, run->n_fences};
    int ret = add_u64s(&spill->index, head, 3);
    for (size_t i = 0; i < run->n_fences && !ret; i++) {
        uint64_t fence[2] = {run->fences[i].hash, run->fences[i].off};
        ret = add_u64s(&spill->index, fence, 2);
    }
    spill->n_runs++;
    return ret ? err_sys(err, ret, "spilling sorted runs") : 0;
}

static int sample_encode(const struct value_sample *sample, struct buf *out)
{
    int ret = 0;
    for (size_t i = 0; i < sample->n && !ret; i++) {
        const struct sampled_value *value = &sample->values[i];
        uint64_t place[2] = {value->hash, value->seq};
        uint8_t lens[8];
        store_le32(lens, value->len);
        store_le32(lens + 4, value->full_len);
        ret = add_u64s(out, place, 2);
        if (!ret)
            ret = buf_add(out, lens, sizeof lens);
        if (!ret)
            ret = buf_add(out, value->data, value->len);
    }
    return ret;
}

/* Everything behind the runs. */
static int tail_encode(const struct spill_writer *spill, const struct value_sample *sample,
                       struct buf *out)
{
    uint8_t footer[SPILL_FOOTER_LEN] = {0};
    struct digest digest;
    int ret = sample_encode(sample, out);
    size_t sample_len = out->len;
    if (!ret)
        ret = buf_add(out, spill->index.data, spill->index.len);
    if (!ret)
        ret = buf_add(out, spill->digests.data, spill->digests.len);
    if (ret)
        return ret;
    memcpy(footer + AT_MAGIC, SPILL_MAGIC, 8);
    store_le64(footer + AT_DATA_LEN, spill->file.len);
    store_le64(footer + AT_SAMPLE_LEN, sample_len);
    store_le64(footer + AT_INDEX_LEN, out->len - sample_len);
    store_le32(footer + AT_N_RUNS, spill->n_runs);
    digest_of(out->data, out->len, &digest);
    memcpy(footer + AT_DIGEST, digest.b, sizeof digest.b);
    return buf_add(out, footer, sizeof footer);
}

int spill_writer_commit(struct spill_writer *spill, const struct value_sample *sample,
                        struct digest *digest, uint64_t *len, struct err *err)
{
    struct buf tail = {0};
    int ret = tail_encode(spill, sample, &tail);
    if (ret) {
        buf_release(&tail);
        return err_sys(err, ret, "spilling sorted runs");
    }
    digest_of(tail.data + tail.len - SPILL_FOOTER_LEN, SPILL_FOOTER_LEN, digest);
    *len = spill->file.len + tail.len;
    ret = store_writer_append(spill->writer, tail.data, tail.len, err);
    buf_release(&tail);
    if (ret)
        return ret;
    ret = store_writer_commit(spill->writer, err);
    spill->writer = NULL;
    return ret;
}

void spill_writer_release(struct spill_writer *spill)
{
    store_writer_abort(spill->writer);
    buf_release(&spill->index);
    buf_release(&spill->digests);
    *spill = (struct spill_writer){0};
}

/* ---- which are open ---- */

int spill_files_init(struct spill_files *files, uint32_t n_max, struct err *err)
{
    *files = (struct spill_files){.open = calloc(n_max, sizeof *files->open), .n_max = n_max};
    return files->open ? 0 : err_sys(err, -ENOMEM, "opening sorted runs");
}

void spill_files_release(struct spill_files *files)
{
    free(files->open);
    *files = (struct spill_files){0};
}

static void reader_close(struct spill *spill)
{
    store_reader_close(spill->reader);
    spill->reader = NULL;
}

/* Makes room for one that is about to be opened. */
static uint32_t place_free(struct spill_files *files)
{
    uint32_t place = files->next;
    files->next = (files->next + 1) % files->n_max;
    if (files->open[place])
        reader_close(files->open[place]);
    files->open[place] = NULL;
    return place;
}

static void place_take(struct spill_files *files, uint32_t place, struct spill *spill)
{
    files->open[place] = spill;
    spill->place = place;
}

void spill_files_add(struct spill_files *files, struct spill *spill)
{
    place_take(files, place_free(files), spill);
    spill->files = files;
}

static void files_forget(struct spill *spill)
{
    if (spill->files && spill->reader)
        spill->files->open[spill->place] = NULL;
}

uint32_t spill_files_share(uint32_t n_sharers)
{
    enum { SHARE_MIN = 1, SHARE_MAX = 1 << 20 };
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return SHARE_MIN;
    uint64_t n = limit.rlim_cur / 2 / n_sharers;
    return n < SHARE_MIN ? SHARE_MIN : n > SHARE_MAX ? SHARE_MAX : (uint32_t)n;
}

/* Opens a spill that gave way. It is the same file: whatever is read is compared with its checksum. */
static int reader_have(struct spill *spill, struct err *err)
{
    if (spill->reader)
        return 0;
    uint32_t place = place_free(spill->files);
    int ret = store_reader_open(spill->store, spill->path, &spill->reader, err);
    if (ret)
        return ret;
    place_take(spill->files, place, spill);
    return 0;
}

/* ---- reading ---- */

static int spill_read(const struct run_file *file, uint64_t off, void *data, size_t len,
                      struct err *err)
{
    /* What is read does not change by opening it again. */
    struct spill *spill = (struct spill *)(uintptr_t)file;
    size_t n = 0;
    int ret = reader_have(spill, err);
    if (!ret)
        ret = store_reader_read(spill->reader, off, data, len, &n, err);
    if (ret)
        return ret;
    if (n != len)
        return err_set(err, -EBADMSG, "%s: expected %zu bytes at %llu, found %zu: truncated",
                       spill->path, len, (unsigned long long)off, n);
    for (size_t i = 0; i < len / SPILL_BLOCK_LEN; i++) {
        struct digest digest;
        uint64_t block = off / SPILL_BLOCK_LEN + i;
        digest_of((uint8_t *)data + i * SPILL_BLOCK_LEN, SPILL_BLOCK_LEN, &digest);
        if (block >= spill->n_blocks || !digest_equal(&digest, &spill->digests[block]))
            return err_set(err, -EBADMSG,
                           "%s: block %llu (of %d bytes) does not have its checksum: sorted runs "
                           "are damaged; map again with: fkv task retry --remap",
                           spill->path, (unsigned long long)block, (int)SPILL_BLOCK_LEN);
    }
    return 0;
}

static int read_only(struct run_file *file, const void *data, size_t len, struct err *err)
{
    return err_set(err, -EIO, "a spill file cannot be written while it is read");
}

static int bad_spill(const struct spill *spill, const char *what, struct err *err)
{
    return err_set(err, -EBADMSG, "%s: expected sorted runs, found %s", spill->path, what);
}

/* One run's head and fences; *used is the bytes they take. -EBADMSG when they do not fit or lead outside. */
static int run_decode(struct spill *spill, const uint8_t *at, size_t left, struct run *run,
                      size_t *used)
{
    if (left < RUN_HEAD_LEN)
        return -EBADMSG;
    uint64_t off = load_le64(at);
    uint64_t len = load_le64(at + 8);
    uint64_t n = load_le64(at + 16);
    if (!range_within(off, len, spill->file.len) || off % SPILL_BLOCK_LEN ||
        n > (left - RUN_HEAD_LEN) / FENCE_LEN || (n == 0) != (len == 0))
        return -EBADMSG;
    run->fences = calloc(n + 1, sizeof *run->fences);
    if (!run->fences)
        return -ENOMEM;
    run->file = &spill->file;
    run->off = off;
    run->len = len;
    run->n_fences = n;
    for (uint64_t i = 0; i < n; i++) {
        const uint8_t *fence = at + RUN_HEAD_LEN + i * FENCE_LEN;
        run->fences[i] = (struct run_fence){load_le64(fence), load_le64(fence + 8)};
        bool is_ascending =
            i == 0 ? run->fences[i].off == 0 : run->fences[i].off > run->fences[i - 1].off;
        if (!is_ascending || run->fences[i].off >= len)
            return -EBADMSG;
    }
    *used = RUN_HEAD_LEN + n * FENCE_LEN;
    return 0;
}

static int index_decode(struct spill *spill, const uint8_t *index, size_t len, uint32_t n_runs,
                        struct err *err)
{
    spill->n_blocks = spill->file.len / SPILL_BLOCK_LEN;
    if (n_runs > RUNS_MAX || spill->n_blocks > len / sizeof(struct digest))
        return bad_spill(spill, "an index that does not fit", err);
    spill->runs = calloc((size_t)n_runs + 1, sizeof *spill->runs);
    spill->digests = malloc(spill->n_blocks * sizeof(struct digest) + 1);
    if (!spill->runs || !spill->digests)
        return err_sys(err, -ENOMEM, "%s: opening", spill->path);
    size_t at = 0;
    while (spill->n_runs < n_runs) {
        size_t used = 0;
        int ret = run_decode(spill, index + at, len - at, &spill->runs[spill->n_runs++], &used);
        if (ret == -EBADMSG)
            return bad_spill(spill, "a run outside the file", err);
        if (ret)
            return err_sys(err, ret, "%s: opening", spill->path);
        at += used;
    }
    if (len - at != spill->n_blocks * sizeof(struct digest))
        return bad_spill(spill, "an index of another length", err);
    memcpy(spill->digests, index + at, len - at);
    return 0;
}

/* Checks the footer, reads what is before it and checks that. */
static int tail_read(struct spill *spill, const uint8_t *footer, uint64_t file_len, struct err *err)
{
    uint64_t data_len = load_le64(footer + AT_DATA_LEN);
    uint64_t sample_len = load_le64(footer + AT_SAMPLE_LEN);
    uint64_t index_len = load_le64(footer + AT_INDEX_LEN);
    uint64_t tail_len = 0;
    uint64_t end = 0;
    struct digest digest;
    size_t n = 0;
    if (!add_u64(sample_len, index_len, &tail_len) || !add_u64(data_len, tail_len, &end) ||
        end != file_len - SPILL_FOOTER_LEN || data_len % SPILL_BLOCK_LEN)
        return bad_spill(spill, "lengths that do not add up", err);
    int ret = buf_reserve(&spill->tail, (size_t)tail_len + 1);
    if (ret)
        return err_sys(err, ret, "%s: opening", spill->path);
    ret = store_reader_read(spill->reader, data_len, spill->tail.data, (size_t)tail_len, &n, err);
    if (ret)
        return ret;
    spill->tail.len = n;
    digest_of(spill->tail.data, n, &digest);
    if (n != tail_len || memcmp(digest.b, footer + AT_DIGEST, sizeof digest.b))
        return bad_spill(spill, "an index that does not have its checksum", err);
    spill->file.len = data_len;
    spill->sample_len = sample_len;
    ret = index_decode(spill, spill->tail.data + sample_len, (size_t)index_len,
                       load_le32(footer + AT_N_RUNS), err);
    if (sample_len == 0)
        buf_release(&spill->tail);
    return ret;
}

static int footer_read(struct spill *spill, const struct digest *digest, struct err *err)
{
    uint8_t footer[SPILL_FOOTER_LEN];
    struct digest found;
    size_t n = 0;
    uint64_t len = store_reader_len(spill->reader);
    if (len < SPILL_FOOTER_LEN)
        return bad_spill(spill, "a file too short for a footer", err);
    int ret =
        store_reader_read(spill->reader, len - SPILL_FOOTER_LEN, footer, sizeof footer, &n, err);
    if (ret)
        return ret;
    digest_of(footer, n, &found);
    if (n != sizeof footer || !digest_equal(&found, digest))
        return bad_spill(spill, "a footer that does not have the checksum its map task told", err);
    if (memcmp(footer + AT_MAGIC, SPILL_MAGIC, 8))
        return bad_spill(spill, "another format", err);
    return tail_read(spill, footer, len, err);
}

int spill_open(struct spill *spill, struct store *store, const char *path,
               const struct digest *digest, struct err *err)
{
    static const struct run_file_ops ops = {.append = read_only, .read = spill_read};
    *spill = (struct spill){.file = {.ops = &ops, .align = SPILL_BLOCK_LEN}, .store = store};
    snprintf(spill->path, sizeof spill->path, "%s", path);
    int ret = store_reader_open(store, path, &spill->reader, err);
    if (!ret)
        ret = footer_read(spill, digest, err);
    if (ret)
        spill_close(spill);
    return ret;
}

int spill_sample(const struct spill *spill, struct value_sample *sample, struct err *err)
{
    const uint8_t *at = spill->tail.data;
    size_t left = (size_t)spill->sample_len;
    while (left) {
        if (left < SAMPLED_HEAD_LEN)
            return bad_spill(spill, "a sample cut short", err);
        struct sampled_value value = {.hash = load_le64(at),
                                      .seq = load_le64(at + 8),
                                      .len = load_le32(at + 16),
                                      .full_len = load_le32(at + 20),
                                      .data = (uint8_t *)(uintptr_t)(at + SAMPLED_HEAD_LEN)};
        if (value.len > left - SAMPLED_HEAD_LEN || value.len > SAMPLE_VALUE_MAX ||
            value.full_len < value.len)
            return bad_spill(spill, "a sample cut short", err);
        int ret = value_sample_put(sample, &value);
        if (ret)
            return err_sys(err, ret, "%s: its sample", spill->path);
        at += SAMPLED_HEAD_LEN + value.len;
        left -= SAMPLED_HEAD_LEN + value.len;
    }
    return 0;
}

void spill_close(struct spill *spill)
{
    for (uint32_t i = 0; i < spill->n_runs; i++)
        run_release(&spill->runs[i]);
    free(spill->runs);
    free(spill->digests);
    buf_release(&spill->tail);
    files_forget(spill);
    store_reader_close(spill->reader);
    *spill = (struct spill){0};
}
