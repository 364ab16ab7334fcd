/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader: many reads of whole pages in flight at once, from files that stay open.
 *
 * A read goes queue -> (submit) -> wait: at most `depth` are between queue and wait. Results come in
 * any order, each with the tag it was queued with. A read fills its buffer wholly or has an error:
 * short reads are gone on with, and the end of a file that came too early is -ENODATA. Nothing is
 * verified here, and nothing is read twice after an error.
 *
 * Two readers do the same: uring (one io_uring, reads in flight together) and plain (pread(), one
 * after the other, inside reader_wait()). A third, for tests, has faults: reader_faulty.h.
 *
 * Threads: a reader belongs to one thread at a time; the files and the pool may be shared by many.
 * Memory: a buffer belongs to the reader from reader_queue() until its result was returned, or
 * until reader_cancel() or reader_free() returned; after that nobody writes to it.
 * Errors: -EINVAL for what is not whole pages of a known file; -EAGAIN when `depth` reads are under
 * way. A read that failed is no error of the reader: its result says so.
 */
#ifndef FKV_IO_READER_H
#define FKV_IO_READER_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    READER_PAGE = 4096,
    READER_DEPTH_MAX = 256,
    READER_LEN_MAX = 1 << 30, /* of one read */
};

/* A file to be read, and how. */
struct reader_file {
    int fd;
    uint64_t len;   /* bytes; reads never go beyond */
    bool is_direct; /* else each page read is dropped from the page cache again */
};

/*
 * Opens path for random reads: with O_DIRECT, or buffered where the file system has none. The
 * caller closes out->fd, after every reader was told by reader_remove_file().
 */
int reader_file_open(const char *path, struct reader_file *out, struct err *err);
/* The same for a file of that name in an open directory; no symbolic link is followed. */
int reader_file_open_at(int dir, const char *name, struct reader_file *out, struct err *err);

struct reader_params {
    unsigned depth; /* 1 .. READER_DEPTH_MAX */
    /* Memory most buffers are in, which must outlive the reader: the kernel keeps its pages at hand
     * where it may. A buffer elsewhere is as good, only slower. NULL: none. */
    void *pool;
    size_t pool_len;
};

struct reader;

/* The uring reader, or the plain one where io_uring is forbidden or too old. */
int reader_new(const struct reader_params *params, struct reader **out, struct err *err);
/* -ENOTSUP where io_uring is forbidden (sysctl, seccomp), absent or too old (before Linux 5.11). */
int reader_uring_new(const struct reader_params *params, struct reader **out, struct err *err);
int reader_plain_new(const struct reader_params *params, struct reader **out, struct err *err);
/* Cancels what is in flight first. */
void reader_free(struct reader *reader);

/* "uring", "plain" or "faulty". */
const char *reader_name(const struct reader *reader);
/* Reads queued and not yet returned by reader_wait(). */
unsigned reader_n_busy(const struct reader *reader);

/* The index to name the file by. It is used again after its removal. */
int reader_add_file(struct reader *reader, const struct reader_file *file, uint32_t *index,
                    struct err *err);
/* -EBUSY while reads of it are under way, -EINVAL when there is no such file. */
int reader_remove_file(struct reader *reader, uint32_t index);

struct reader_read {
    uint32_t file; /* from reader_add_file() */
    uint32_t len;  /* a multiple of READER_PAGE, not 0 */
    uint64_t off;  /* a multiple of READER_PAGE */
    void *buf;     /* aligned to READER_PAGE */
    uint64_t tag;  /* the caller's */
};

struct reader_done {
    uint64_t tag;
    int result; /* 0, or -errno: the buffer holds anything */
};

/* Adds a read; the reader hands it to the kernel with others, at the latest in reader_wait(). */
int reader_queue(struct reader *reader, const struct reader_read *read);

/* Hands what is queued to the kernel now, for callers with something else to do before they wait. */
void reader_submit(struct reader *reader);

/*
 * Waits until n_min reads (or all under way, if fewer) are done, or CLOCK_MONOTONIC is deadline_ns;
 * writes up to cap results. n_min 0 only looks. *n_done below n_min: the deadline has passed, and
 * the rest stays in flight. The plain reader looks at the clock between reads only. An error is one
 * of the reader itself, which is of no more use: cancel and free it.
 */
int reader_wait(struct reader *reader, unsigned n_min, int64_t deadline_ns,
                struct reader_done *done, unsigned cap, unsigned *n_done);

/*
 * Forgets every read under way: no result will come, and no buffer is written to after the return.
 * Reads the disk has begun cannot be taken back: it waits for them, however long the disk takes. Files
 * may have been closed meanwhile.
 */
void reader_cancel(struct reader *reader);

#endif
