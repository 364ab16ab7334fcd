/* SPDX-License-Identifier: Apache-2.0 */
#include "node/arrival.h"

#include "base/bytes.h"
#include "node/mismatch.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* The room is taken at once, so that chunks that come out of order lie in order on the disk. */
static int take_room(const struct arrival *arrival)
{
    off_t len = (off_t)arrival->part->len;
    if (!arrival->is_resumed && !fallocate(arrival->fd, 0, 0, len))
        return 0;
    if (!arrival->is_resumed && errno != EOPNOTSUPP)
        return -errno;
    return ftruncate(arrival->fd, len) ? -errno : 0;
}

int arrival_open(struct arrival *arrival, const struct cache *cache, const struct part_desc *part,
                 struct err *err)
{
    struct stat st;
    *arrival = (struct arrival){.part = part, .cache = cache, .fd = -1};
    arrival->digest = digest_state_new();
    if (!arrival->digest)
        return err_sys(err, -ENOMEM, "a digest");
    arrival->fd = cache_partial_open(cache, &part->digest, err);
    if (arrival->fd < 0)
        return arrival->fd;
    int ret = fstat(arrival->fd, &st) ? -errno : 0;
    arrival->is_resumed = !ret && st.st_size > 0;
    if (!ret)
        ret = take_room(arrival);
    if (ret)
        return err_sys(err, ret, "a part in the cache %s", cache_dir(cache));
    /* Direct writes of whole pages leave the page cache alone and make the final fsync cheap. Where
     * there are none it goes buffered. */
    int flags = fcntl(arrival->fd, F_GETFL);
    if (flags >= 0)
        fcntl(arrival->fd, F_SETFL, flags | O_DIRECT);
    digest_state_reset(arrival->digest);
    return 0;
}

void arrival_release(struct arrival *arrival)
{
    if (arrival->fd >= 0)
        close(arrival->fd);
    digest_state_free(arrival->digest);
    *arrival = (struct arrival){.fd = -1};
}

static bool is_direct(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && flags & O_DIRECT;
}

/* After a transfer of n bytes (or a failure) that began direct and cannot be gone on with: true
 * when it is to be done again buffered. Several threads share the file, so another may have left
 * direct meanwhile. */
static bool leave_direct(int fd, bool was_direct, ssize_t n)
{
    if (!was_direct || (n < 0 ? errno != EINVAL : n % ARRIVAL_ALIGN == 0))
        return false;
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}

bool arrival_has(const struct arrival *arrival, uint32_t i, uint8_t *chunk)
{
    size_t len = part_chunk_len(arrival->part, i);
    off_t off = (off_t)i * PART_CHUNK_LEN;
    struct digest found;
    size_t done = 0;
    while (arrival->is_resumed && done < len) {
        /* Direct reads ask for whole pages; there is room for them. */
        size_t want = align_up(len - done, ARRIVAL_ALIGN);
        bool was_direct = is_direct(arrival->fd);
        ssize_t n = pread(arrival->fd, chunk + done, want, off + (off_t)done);
        if (n > 0)
            done += (size_t)n;
        if (done < len && !(n < 0 && errno == EINTR) && !leave_direct(arrival->fd, was_direct, n) &&
            n <= 0)
            break; /* fetched again, whatever the matter is */
    }
    if (!arrival->is_resumed || done < len)
        return false;
    digest_of(chunk, len, &found);
    return digest_equal(&found, &arrival->part->chunks[i]);
}

int arrival_put(const struct arrival *arrival, uint32_t i, const uint8_t *chunk, struct err *err)
{
    size_t len = part_chunk_len(arrival->part, i);
    off_t off = (off_t)i * PART_CHUNK_LEN;
    size_t done = 0;
    while (done < len) {
        bool was_direct = is_direct(arrival->fd);
        ssize_t n = pwrite(arrival->fd, chunk + done, len - done, off + (off_t)done);
        int code = n < 0 ? -errno : -EIO;
        if (n > 0)
            done += (size_t)n;
        if (done < len && code != -EINTR && !leave_direct(arrival->fd, was_direct, n) && n <= 0)
            return err_sys(err, code, "writing a part into the cache %s",
                           cache_dir(arrival->cache));
    }
    return 0;
}

void arrival_join(const struct arrival *arrival, uint32_t i, const uint8_t *chunk)
{
    digest_state_update(arrival->digest, chunk, part_chunk_len(arrival->part, i));
}

int arrival_finish(const struct arrival *arrival, struct err *err)
{
    struct digest found;
    digest_state_finish(arrival->digest, &found);
    if (!digest_equal(&found, &arrival->part->digest)) {
        int ret = digest_mismatch(&arrival->part->digest, &found, err);
        return err_wrap(err, ret, "all chunks are as version.json says, but not the whole");
    }
    return cache_partial_commit(arrival->cache, &arrival->part->digest, arrival->fd, err);
}
