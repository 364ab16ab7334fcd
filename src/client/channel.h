/* SPDX-License-Identifier: Apache-2.0 */
/*
 * channel: one open lookup file of the mount, and what counts as having lost it.
 *
 * A restarted daemon is a new mount: descriptors of the old one answer ENOTCONN for ever, so a
 * broken channel is dropped and its path opened anew. A channel pinned to a version finds that
 * version again or fails with -ESTALE; it never comes back as another one.
 *
 * Threads: one at a time. Memory: borrows the path.
 * Errors: as fkv.h says; those of which channel_is_broken() is true pass when the daemon is back.
 */
#ifndef FKV_CLIENT_CHANNEL_H
#define FKV_CLIENT_CHANNEL_H

#include "base/err.h"
#include "wire/fkv_protocol.h"

#include <stdbool.h>
#include <sys/types.h>

/* What a channel asks of the kernel, errors in errno as usual. The unit tests put a daemon of
 * their own here. */
struct channel_ops {
    int (*open)(const char *path, int flags);
    int (*close)(int fd);
    int (*ioctl)(int fd, unsigned long request, void *arg);
    ssize_t (*write)(int fd, const void *data, size_t len);
    ssize_t (*read)(int fd, void *data, size_t len);
};

extern const struct channel_ops channel_system_ops;

/* Where a table is, and how it was opened. */
struct place {
    const struct channel_ops *ops;
    const char *file;   /* "<dir>/batch" */
    const char *follow; /* of a pinned table: "<table>/batch"; NULL: not known */
    uint64_t pinned;    /* the version, or 0 to follow `current` */
};

struct channel {
    const struct place *place;
    int fd;               /* -1 while broken */
    struct fkv_info info; /* as the daemon said when the channel was opened */
};

void channel_init(struct channel *channel, const struct place *place);
void channel_close(struct channel *channel); /* drops the descriptor; it may be opened again */

/* Opens it if it is not open, once; -ESTALE when the daemon no longer has the pinned version. */
int channel_open(struct channel *channel, struct err *err);

/* Fresh info on an open channel; checked. */
int channel_info(struct channel *channel, struct fkv_info *out, struct err *err);

/* True for an error that says the daemon is away, not that it refused. */
bool channel_is_broken(int code);

/* ioctl, whole write and read of the open descriptor; -errno. Interrupted calls are made again. */
int channel_ioctl(struct channel *channel, unsigned long request, void *arg);
int channel_write(struct channel *channel, const void *data, size_t len);
ssize_t channel_read(struct channel *channel, void *data, size_t len);

/* CLOCK_MONOTONIC. */
uint64_t channel_now_ns(void);

/* Sleeps a little before attempt (1, 2, …) to open again, no longer than until deadline_ns. */
void channel_pause(unsigned attempt, uint64_t deadline_ns);

#endif
