/* SPDX-License-Identifier: Apache-2.0 */
#include "client/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

static int system_open(const char *path, int flags)
{
    return open(path, flags);
}
static int system_ioctl(int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg);
}

const struct channel_ops channel_system_ops = {
    .open = system_open,
    .close = close,
    .ioctl = system_ioctl,
    .write = write,
    .read = read,
};

void channel_init(struct channel *channel, const struct place *place)
{
    *channel = (struct channel){.place = place, .fd = -1};
}

void channel_close(struct channel *channel)
{
    if (channel->fd >= 0)
        channel->place->ops->close(channel->fd);
    channel->fd = -1;
}

bool channel_is_broken(int code)
{
    switch (-code) {
    case ENOTCONN:     /* the daemon of this mount is gone */
    case ECONNABORTED: /* it went while we waited */
    case ESHUTDOWN:
    case ENODEV:
    case ENXIO:
    case EIO:
        return true;
    default:
        return false;
    }
}

int channel_ioctl(struct channel *channel, unsigned long request, void *arg)
{
    int r;
    do
        r = channel->place->ops->ioctl(channel->fd, request, arg);
    while (r < 0 && errno == EINTR);
    return r < 0 ? -errno : 0;
}

int channel_write(struct channel *channel, const void *data, size_t len)
{
    ssize_t n;
    do
        n = channel->place->ops->write(channel->fd, data, len);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    return (size_t)n == len ? 0 : -EPROTO;
}

ssize_t channel_read(struct channel *channel, void *data, size_t len)
{
    ssize_t n;
    do
        n = channel->place->ops->read(channel->fd, data, len);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int channel_info(struct channel *channel, struct fkv_info *out, struct err *err)
{
    const char *file = channel->place->file;
    struct fkv_info info = {0};
    int r = channel_ioctl(channel, FKV_IOC_INFO, &info);
    if (r == -ENOTTY || r == -ENOSYS)
        return err_set(err, -EINVAL, "%s is not a lookup file of an fkv mount", file);
    if (r)
        return err_sys(err, r, "%s", file);
    if (info.magic != FKV_MAGIC || info.protocol != FKV_PROTOCOL_VERSION)
        return err_set(err, -EPROTO,
                       "%s speaks protocol %u, this libfkv speaks %u: update the older of the two",
                       file, info.protocol, FKV_PROTOCOL_VERSION);
    *out = info;
    return 0;
}

/* A file that may only be read still answers ioctls; only write-and-read is lost. */
static int open_file(const struct place *place, const char *file)
{
    int fd = place->ops->open(file, O_RDWR | O_CLOEXEC);
    if (fd < 0 && (errno == EACCES || errno == EROFS))
        fd = place->ops->open(file, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Whether the daemon is back and serves the table, so that a missing pinned version is gone for
 * good. */
static bool table_is_served(const struct place *place)
{
    struct place follow = {.ops = place->ops, .file = place->follow};
    struct channel channel;
    struct fkv_info info = {0};
    if (!place->follow)
        return false;
    channel_init(&channel, &follow);
    channel.fd = open_file(&follow, follow.file);
    bool served = channel.fd >= 0 && !channel_info(&channel, &info, NULL) && info.version;
    channel_close(&channel);
    return served;
}

int channel_open(struct channel *channel, struct err *err)
{
    const struct place *place = channel->place;
    if (channel->fd >= 0)
        return 0;
    int fd = open_file(place, place->file);
    if (fd == -ENOENT && place->pinned && table_is_served(place))
        return err_set(err, -ESTALE, "version %llu is no longer served: %s is gone",
                       (unsigned long long)place->pinned, place->file);
    if (fd < 0)
        return err_sys(err, fd, "%s", place->file);
    channel->fd = fd;
    int r = channel_info(channel, &channel->info, err);
    if (!r && place->pinned && channel->info.version != place->pinned)
        r = err_set(err, -ESTALE, "%s was version %llu and is %llu now", place->file,
                    (unsigned long long)place->pinned, (unsigned long long)channel->info.version);
    if (r)
        channel_close(channel);
    return r;
}

uint64_t channel_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void channel_pause(unsigned attempt, uint64_t deadline_ns)
{
    enum { PAUSE_MIN_NS = 1000000, PAUSE_MAX_SHIFT = 5 };
    uint64_t now = channel_now_ns();
    uint64_t pause = (uint64_t)PAUSE_MIN_NS
                     << (attempt < PAUSE_MAX_SHIFT ? attempt : PAUSE_MAX_SHIFT);
    if (now >= deadline_ns)
        return;
    if (pause > deadline_ns - now)
        pause = deadline_ns - now;
    struct timespec until = {.tv_nsec = (long)pause}; /* at most 32 ms */
    nanosleep(&until, NULL);
}
