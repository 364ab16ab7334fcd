/* SPDX-License-Identifier: Apache-2.0 */
#include "io/reader.h"

#include "io/reader_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>

enum { TRIES_MAX = 16 };

int64_t reader_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int reader_new(const struct reader_params *params, struct reader **out, struct err *err)
{
    int ret = reader_uring_new(params, out, NULL);
    /* Anything but words that are wrong may be io_uring's own trouble (memory it may not lock, rings
     * it has no room for): reads still get done without it. */
    return ret && ret != -EINVAL ? reader_plain_new(params, out, err)
           : ret                 ? err_set(err, ret, "a reader of depth %u", params->depth)
                                 : 0;
}

int reader_init(struct reader *reader, const struct reader_ops *ops,
                const struct reader_params *params, struct err *err)
{
    reader->ops = ops;
    if (params->depth == 0 || params->depth > READER_DEPTH_MAX)
        return err_set(err, -EINVAL, "a reader's depth is 1 to %d, not %u", READER_DEPTH_MAX,
                       params->depth);
    reader->slots = calloc(params->depth, sizeof *reader->slots);
    reader->free_slots = calloc(params->depth, sizeof *reader->free_slots);
    if (!reader->slots || !reader->free_slots)
        return err_set(err, -ENOMEM, "no memory for a reader of depth %u", params->depth);
    reader->depth = params->depth;
    while (reader->n_free < reader->depth) {
        reader->free_slots[reader->n_free] = reader->n_free;
        reader->n_free++;
    }
    return 0;
}

void reader_free(struct reader *reader)
{
    if (!reader)
        return;
    if (reader->n_free < reader->depth)
        reader_cancel(reader);
    reader->ops->release(reader);
    free(reader->slots);
    free(reader->free_slots);
    free(reader->files);
    free(reader);
}

const char *reader_name(const struct reader *reader)
{
    return reader->ops->name;
}

unsigned reader_n_busy(const struct reader *reader)
{
    return reader->depth - reader->n_free;
}

static int grow_files(struct reader *reader, struct err *err)
{
    if (reader->n_files < reader->cap_files)
        return 0;
    uint32_t cap = reader->cap_files ? 2 * reader->cap_files : 64;
    struct reader_entry *files = realloc(reader->files, cap * sizeof *files);
    if (!files)
        return err_set(err, -ENOMEM, "no memory for a reader of %u files", cap);
    reader->files = files;
    reader->cap_files = cap;
    return 0;
}

int reader_add_file(struct reader *reader, const struct reader_file *file, uint32_t *index,
                    struct err *err)
{
    if (file->fd < 0 || file->len > INT64_MAX)
        return err_set(err, -EINVAL, "descriptor %d of %llu bytes is no file to read", file->fd,
                       (unsigned long long)file->len);
    uint32_t i = reader->n_taken;
    while (i < reader->n_files && reader->files[i].is_used)
        i++;
    reader->n_taken = i;
    if (i == reader->n_files) {
        int ret = grow_files(reader, err);
        if (ret)
            return ret;
        reader->n_files++;
    }
    reader->files[i] = (struct reader_entry){.file = *file, .is_used = true};
    int ret = reader->ops->add_file ? reader->ops->add_file(reader, i, err) : 0;
    if (ret) {
        reader->files[i].is_used = false;
        return ret;
    }
    *index = i;
    return 0;
}

int reader_remove_file(struct reader *reader, uint32_t index)
{
    if (index >= reader->n_files || !reader->files[index].is_used)
        return -EINVAL;
    if (reader->files[index].n_busy)
        return -EBUSY;
    if (reader->ops->remove_file)
        reader->ops->remove_file(reader, index);
    reader->files[index].is_used = false;
    if (reader->n_taken > index)
        reader->n_taken = index;
    return 0;
}

static bool is_whole_pages(const struct reader_read *read)
{
    return read->len && read->len <= READER_LEN_MAX && read->len % READER_PAGE == 0 &&
           read->off % READER_PAGE == 0 && read->buf && (uintptr_t)read->buf % READER_PAGE == 0;
}

int reader_queue(struct reader *reader, const struct reader_read *read)
{
    if (read->file >= reader->n_files || !reader->files[read->file].is_used ||
        !is_whole_pages(read))
        return -EINVAL;
    struct reader_entry *entry = &reader->files[read->file];
    if (read->off > entry->file.len || read->len > entry->file.len - read->off)
        return -EINVAL;
    if (reader->n_free == 0)
        return -EAGAIN;
    uint32_t slot = reader->free_slots[--reader->n_free];
    reader->slots[slot] = (struct reader_slot){.read = *read};
    entry->n_busy++;
    reader->ops->start(reader, slot);
    return 0;
}

void reader_submit(struct reader *reader)
{
    reader->ops->submit(reader);
}

int reader_wait(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                struct reader_done *done, unsigned cap, unsigned *n_done)
{
    unsigned n_busy = reader_n_busy(reader);
    if (n_min > n_busy)
        n_min = n_busy;
    if (n_min > cap)
        n_min = cap;
    return reader->ops->wait(reader, n_min, deadline_ns, done, cap, n_done);
}

void reader_cancel(struct reader *reader)
{
    reader->ops->cancel(reader);
    for (uint32_t i = 0; i < reader->n_files; i++)
        reader->files[i].n_busy = 0;
    for (reader->n_free = 0; reader->n_free < reader->depth; reader->n_free++)
        reader->free_slots[reader->n_free] = reader->n_free;
}

enum reader_step reader_advance(struct reader_slot *slot, bool is_direct, int64_t answer,
                                int *result)
{
    uint32_t left = slot->read.len - slot->n_read;
    if (answer == left) {
        *result = 0;
        return READER_FINISHED;
    }
    if (answer > left) {
        *result = -EIO;
        return READER_FINISHED;
    }
    if (answer == 0) {
        *result = -ENODATA;
        return READER_FINISHED;
    }
    /* A direct read goes on at a page; a piece of one is read again. */
    uint32_t gained = answer < 0 ? 0 : (uint32_t)answer;
    if (is_direct)
        gained -= gained % READER_PAGE;
    slot->n_read += gained;
    slot->n_tries = gained ? 0 : slot->n_tries + 1;
    if (answer < 0 && answer != -EINTR && answer != -EAGAIN) {
        *result = (int)answer;
        return READER_FINISHED;
    }
    if (slot->n_tries < TRIES_MAX)
        return READER_AGAIN;
    *result = answer < 0 ? (int)answer : -EIO;
    return READER_FINISHED;
}

void reader_finish(struct reader *reader, uint32_t slot, int result, struct reader_done *done)
{
    const struct reader_read *read = &reader->slots[slot].read;
    struct reader_entry *entry = &reader->files[read->file];
    /* What had to go through the page cache does not stay there at others' expense. */
    if (!entry->file.is_direct)
        posix_fadvise(entry->file.fd, (off_t)read->off, (off_t)read->len, POSIX_FADV_DONTNEED);
    *done = (struct reader_done){.tag = read->tag, .result = result};
    entry->n_busy--;
    reader->free_slots[reader->n_free++] = slot;
}
