/* SPDX-License-Identifier: Apache-2.0 */
#include "node/part_chunk.h"

#include "node/arrival.h"
#include "node/mismatch.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int read_chunk(const struct reader_file *file, uint64_t off, size_t len, uint8_t *chunk,
                      struct err *err)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(file->fd, chunk + done, len - done, (off_t)(off + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_sys(err, -errno, "reading %zu bytes at %llu", len - done,
                           (unsigned long long)(off + done));
        if (n == 0)
            return err_set(err, -ENODATA, "expected %zu bytes at %llu, the file ends at %llu", len,
                           (unsigned long long)off, (unsigned long long)(off + done));
        done += (size_t)n;
    }
    return 0;
}

int part_chunk_check(const struct reader_file *file, const struct part_desc *part, uint32_t i,
                     uint8_t *chunk, struct err *err)
{
    size_t len = part_chunk_len(part, i);
    uint64_t off = (uint64_t)i * PART_CHUNK_LEN;
    struct digest found;
    /* What a buffered read would find in memory says nothing of the disk. */
    if (!file->is_direct)
        posix_fadvise(file->fd, (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
    int ret = read_chunk(file, off, len, chunk, err);
    if (!file->is_direct)
        posix_fadvise(file->fd, (off_t)off, (off_t)len, POSIX_FADV_DONTNEED);
    if (!ret) {
        digest_of(chunk, len, &found);
        if (digest_equal(&found, &part->chunks[i]))
            return 0;
        ret = digest_mismatch(&part->chunks[i], &found, err);
    }
    return err_wrap(err, ret, "chunk %u of %u", i, part->n_chunks);
}
