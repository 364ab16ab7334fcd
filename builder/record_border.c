/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a record begins, behind a place in the middle of a file. Two bytes of a head are fixed, so by chance a byte in 65536
 * looks like one; that the next head, which its sizes lead to, looks like one too, and so on, is soon no chance.
 */
#include "builder/input_record.h"
#include "builder/stream.h"

#include <errno.h>
#include <stdlib.h>

enum {
    WINDOW_LEN = 64 << 10,
    CHAIN_HEADS = 16,
    CHAIN_FEW = 4, /* heads are enough when they span CHAIN_LEN */
    CHAIN_LEN = 64 << 10,
};

struct look {
    struct stream *stream;
    uint64_t file_len;
    uint64_t off; /* of the window */
    size_t len;
    uint8_t *window;
};

static int window_read(struct look *look, uint64_t off, struct err *err)
{
    look->off = off;
    return stream_read_at(look->stream, off, look->window, WINDOW_LEN, &look->len, err);
}

/* *len: of the record at `at`, 0 for none. */
static int head_look(const struct look *look, uint64_t at, uint64_t *len, struct err *err)
{
    uint8_t head[REC_HEAD_LEN];
    size_t n = 0;
    *len = 0;
    if (at >= look->off && range_within(at - look->off, REC_HEAD_LEN, look->len)) {
        *len = rec_len(look->window + (at - look->off));
        return 0;
    }
    int ret = stream_read_at(look->stream, at, head, sizeof head, &n, err);
    if (!ret && n == sizeof head)
        *len = rec_len(head);
    return ret;
}

static int chain_follow(const struct look *look, uint64_t from, bool *holds, struct err *err)
{
    uint64_t at = from;
    *holds = false;
    for (int n = 0; n < CHAIN_HEADS && (n < CHAIN_FEW || at - from < CHAIN_LEN); n++) {
        uint64_t len = 0;
        if (at == look->file_len)
            break;
        int ret = head_look(look, at, &len, err);
        if (ret || len == 0 || !range_within(at, len, look->file_len))
            return ret;
        at += len;
    }
    *holds = true;
    return 0;
}

/* The first offset in the window with a chain; where the next window begins when there is none. */
static int window_look(const struct look *look, uint64_t *out, bool *found, struct err *err)
{
    size_t i = 0;
    for (; i + REC_HEAD_LEN <= look->len; i++) {
        const uint8_t *at = memchr(look->window + i, REC_MAGIC, look->len - REC_HEAD_LEN + 1 - i);
        if (!at) {
            i = look->len - REC_HEAD_LEN + 1;
            break;
        }
        i = (size_t)(at - look->window);
        if (!rec_len(at))
            continue;
        int ret = chain_follow(look, look->off + i, found, err);
        if (ret || *found) {
            *out = look->off + i;
            return ret;
        }
    }
    *out = look->off + i;
    return 0;
}

int record_border_find(struct stream *stream, uint64_t from, uint64_t *out, struct err *err)
{
    struct look look = {.stream = stream, .file_len = stream_len(stream)};
    bool found = false;
    int ret = 0;
    look.window = malloc(WINDOW_LEN);
    if (!look.window)
        return err_sys(err, -ENOMEM, "%s: reading", stream_path(stream));
    while (!ret && !found && from < look.file_len) {
        ret = window_read(&look, from, err);
        if (!ret && look.len < REC_HEAD_LEN)
            break;
        if (!ret)
            ret = window_look(&look, &from, &found, err);
    }
    free(look.window);
    if (!ret)
        *out = found ? from : look.file_len;
    return ret;
}
