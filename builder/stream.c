/* SPDX-License-Identifier: Apache-2.0 */
#include "builder/stream.h"

#include "builder/read_ahead.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum { RAW_LEN = 256 << 10, ZSTD_WINDOW_LOG_MAX = 27 };

struct stream;

/* Decompresses from raw into out; sets *n_out. Closed set: chosen once at open. */
typedef int (*inflate_fn)(struct stream *stream, void *out, size_t len, size_t *n_out,
                          struct err *err);

struct stream {
    char *path;
    struct source *source;
    struct read_ahead *ahead; /* of a remote source, from the first read on */
    inflate_fn inflate;
    uint64_t off;        /* in the file, of what is read next */
    uint64_t file_bytes; /* taken from it */
    uint8_t *raw;        /* compressed bytes not yet used: raw[raw_pos, raw_len) */
    size_t raw_pos;
    size_t raw_len;
    bool at_end;   /* the file has no more bytes */
    bool in_frame; /* a member or frame is begun and not complete */
    z_stream zlib;
    bool has_zlib;
    ZSTD_DStream *zstd;
};

static int file_read(struct stream *stream, void *data, size_t len, size_t *n_read, struct err *err)
{
    int ret = 0;
    /* The kernel reads ahead of a local file itself: a thread for that gained nothing, and its copy took half as much CPU again. */
    if (source_is_remote(stream->source) && !stream->ahead)
        ret = read_ahead_open(stream->source, stream->off, &stream->ahead, err);
    if (!ret)
        ret = stream->ahead ? read_ahead_read(stream->ahead, data, len, n_read, err)
                            : source_read(stream->source, stream->off, data, len, n_read, err);
    if (ret)
        return ret;
    stream->off += *n_read;
    stream->file_bytes += *n_read;
    return 0;
}

static int raw_fill(struct stream *stream, struct err *err)
{
    if (stream->raw_pos < stream->raw_len || stream->at_end)
        return 0;
    size_t n = 0;
    int ret = file_read(stream, stream->raw, RAW_LEN, &n, err);
    if (ret)
        return ret;
    stream->raw_pos = 0;
    stream->raw_len = n;
    stream->at_end = n == 0;
    return 0;
}

static int damaged(const struct stream *stream, const char *kind, const char *what, struct err *err)
{
    return err_set(err, -EBADMSG, "%s: expected %s data, found damage before byte %llu: %s",
                   stream->path, kind, (unsigned long long)stream->file_bytes, what);
}

static int inflate_plain(struct stream *stream, void *out, size_t len, size_t *n_out,
                         struct err *err)
{
    return file_read(stream, out, len, n_out, err);
}

static int inflate_gzip(struct stream *stream, void *out, size_t len, size_t *n_out,
                        struct err *err)
{
    z_stream *z = &stream->zlib;
    size_t room = len < (1U << 30) ? len : (1U << 30);
    z->next_in = stream->raw + stream->raw_pos;
    z->avail_in = (uInt)(stream->raw_len - stream->raw_pos);
    z->next_out = out;
    z->avail_out = (uInt)room;
    if (!stream->in_frame && inflateReset(z) != Z_OK)
        return damaged(stream, "gzip", "cannot begin a member", err);
    stream->in_frame = true;
    int got = inflate(z, Z_NO_FLUSH);
    if (got != Z_OK && got != Z_STREAM_END && got != Z_BUF_ERROR)
        return damaged(stream, "gzip", z->msg ? z->msg : "bad member", err);
    stream->in_frame = got != Z_STREAM_END;
    stream->raw_pos = stream->raw_len - z->avail_in;
    *n_out = room - z->avail_out;
    return 0;
}

static int inflate_zstd(struct stream *stream, void *out, size_t len, size_t *n_out,
                        struct err *err)
{
    ZSTD_inBuffer in = {stream->raw, stream->raw_len, stream->raw_pos};
    ZSTD_outBuffer dst = {out, len, 0};
    size_t left = ZSTD_decompressStream(stream->zstd, &dst, &in);
    if (ZSTD_isError(left))
        return damaged(stream, "zstd", ZSTD_getErrorName(left), err);
    stream->in_frame = left != 0;
    stream->raw_pos = in.pos;
    *n_out = dst.pos;
    return 0;
}

static bool has_suffix(const char *path, const char *suffix)
{
    size_t len = source_name_len(path);
    size_t suffix_len = strlen(suffix);
    return len > suffix_len && strncasecmp(path + len - suffix_len, suffix, suffix_len) == 0;
}

size_t stream_plain_name_len(const char *path)
{
    size_t len = source_name_len(path);
    if (has_suffix(path, ".gz"))
        return len - 3;
    if (has_suffix(path, ".zst"))
        return len - 4;
    return len;
}

static int inflate_choose(struct stream *stream, struct err *err)
{
    stream->inflate = inflate_plain;
    if (has_suffix(stream->path, ".gz")) {
        enum { GZIP_ONLY = 16 };
        if (inflateInit2(&stream->zlib, MAX_WBITS + GZIP_ONLY) != Z_OK)
            return err_sys(err, -ENOMEM, "%s: opening", stream->path);
        stream->has_zlib = true;
        stream->inflate = inflate_gzip;
    } else if (has_suffix(stream->path, ".zst")) {
        stream->zstd = ZSTD_createDStream();
        if (!stream->zstd)
            return err_sys(err, -ENOMEM, "%s: opening", stream->path);
        ZSTD_DCtx_setParameter(stream->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        stream->inflate = inflate_zstd;
    }
    if (stream->inflate == inflate_plain)
        return 0;
    stream->raw = malloc(RAW_LEN);
    return stream->raw ? 0 : err_sys(err, -ENOMEM, "%s: opening", stream->path);
}

static bool can_seek(const struct stream *stream)
{
    return !stream->raw && source_is_file(stream->source);
}

/* Only bytes that are rows as they stand can be begun in the middle. */
static int offset_check(const struct stream *stream, struct err *err)
{
    if (stream->off == 0 || can_seek(stream))
        return 0;
    return err_set(err, -EINVAL, "%s: only plain files can be read from the middle (byte %llu)",
                   stream->path, (unsigned long long)stream->off);
}

int stream_open(const char *path, uint64_t off, struct stream **out, struct err *err)
{
    struct stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return err_sys(err, -ENOMEM, "%s: opening", path);
    stream->off = off;
    stream->path = strdup(path);
    int ret = stream->path ? source_open(path, &stream->source, err)
                           : err_sys(err, -ENOMEM, "%s: opening", path);
    if (!ret)
        ret = inflate_choose(stream, err);
    if (!ret)
        ret = offset_check(stream, err);
    if (ret) {
        stream_close(stream);
        return ret;
    }
    *out = stream;
    return 0;
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->has_zlib)
        inflateEnd(&stream->zlib);
    ZSTD_freeDStream(stream->zstd);
    read_ahead_close(stream->ahead);
    source_close(stream->source);
    free(stream->raw);
    free(stream->path);
    free(stream);
}

int stream_read(struct stream *stream, void *data, size_t len, size_t *n_read, struct err *err)
{
    size_t done = 0;
    while (done < len) {
        size_t n = 0;
        bool was_end = false;
        if (stream->raw) {
            int ret = raw_fill(stream, err);
            if (ret)
                return ret;
            was_end = stream->at_end;
            if (was_end && stream->file_bytes == 0)
                return err_set(err, -EBADMSG, "%s: expected compressed data, found an empty file",
                               stream->path);
            if (was_end && !stream->in_frame)
                break;
        }
        int ret = stream->inflate(stream, (char *)data + done, len - done, &n, err);
        if (ret)
            return ret;
        if (n == 0 && was_end && stream->in_frame)
            return err_set(err, -EBADMSG, "%s: the compressed data ends in the middle",
                           stream->path);
        if (n == 0 && !stream->raw)
            break;
        done += n;
    }
    *n_read = done;
    return 0;
}

int stream_skip(struct stream *stream, uint64_t len, uint64_t *skipped, struct err *err)
{
    enum { SKIP_LEN = 16 << 10 };
    uint8_t scratch[SKIP_LEN];
    uint64_t done = 0;
    if (can_seek(stream)) {
        uint64_t file_len = stream_len(stream);
        uint64_t left = stream->off < file_len ? file_len - stream->off : 0;
        done = len < left ? len : left;
        stream->off += done;
        stream->file_bytes += done;
        if (stream->ahead)
            read_ahead_jump(stream->ahead, stream->off);
    }
    for (size_t n = 1; done < len && n && !can_seek(stream); done += n) {
        size_t part = len - done < SKIP_LEN ? (size_t)(len - done) : SKIP_LEN;
        int ret = stream_read(stream, scratch, part, &n, err);
        if (ret)
            return ret;
    }
    *skipped = done;
    return 0;
}

int stream_read_at(struct stream *stream, uint64_t off, void *data, size_t len, size_t *n_read,
                   struct err *err)
{
    size_t done = 0;
    for (size_t n = 1; done < len && n; done += n) {
        int ret =
            source_read(stream->source, off + done, (uint8_t *)data + done, len - done, &n, err);
        if (ret)
            return ret;
    }
    *n_read = done;
    return 0;
}

uint64_t stream_len(const struct stream *stream)
{
    return source_len(stream->source);
}

uint64_t stream_file_bytes(const struct stream *stream)
{
    return stream->file_bytes;
}

bool stream_is_plain(const struct stream *stream)
{
    return !stream->raw;
}

const char *stream_path(const struct stream *stream)
{
    return stream->path;
}

int stream_check(struct stream *stream, struct err *err)
{
    return source_check(stream->source, err);
}
