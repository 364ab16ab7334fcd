/* SPDX-License-Identifier: Apache-2.0 */
#include "client/copied.h"

#include "client/pieces.h"

#include <errno.h>
#include <string.h>

enum {
    INLINE_BODY_MAX = FKV_INLINE_MAX - sizeof(struct fkv_lookup),
    MESSAGE_LEN_MAX =
        FKV_MESSAGE_MAX - 4096, /* whatever its alignment, the kernel hands it over whole */
    MESSAGE_BODY_MAX = 1 << 30,
};

/* Writes request and keys [from, from + n) as one message into carrier->sent, which gets space
 * bytes. */
static int compose(struct carrier *carrier, const struct question *question, uint32_t from,
                   uint32_t n, size_t space, uint64_t out_len)
{
    size_t len = keys_len(&question->keys, from, n);
    struct fkv_lookup lookup = carrier_request(question, n, sizeof lookup, len);
    lookup.out_len = out_len;
    buf_clear(&carrier->sent);
    int r = buf_reserve(&carrier->sent, space < sizeof lookup + len ? sizeof lookup + len : space);
    if (r)
        return r;
    memcpy(carrier->sent.data, &lookup, sizeof lookup);
    keys_write(&question->keys, from, n, carrier->sent.data + sizeof lookup);
    carrier->sent.len = sizeof lookup + len;
    return 0;
}

static int ask_inline(struct carrier *carrier, struct channel *channel,
                      const struct question *question, uint32_t from, uint32_t n,
                      struct answer *out, struct err *err)
{
    int r = compose(carrier, question, from, n, FKV_INLINE_MAX, INLINE_BODY_MAX);
    if (r)
        return err_set(err, r, "no memory for a request");
    carrier->last = FKV_INLINE;
    memset(carrier->sent.data + carrier->sent.len, 0, FKV_INLINE_MAX - carrier->sent.len);
    r = channel_ioctl(channel, FKV_IOC_INLINE, carrier->sent.data);
    if (r)
        return err_sys(err, r, "%s", channel->place->file);
    out->body = carrier->sent.data + sizeof(struct fkv_lookup);
    return carrier_reply(question, carrier->sent.data, FKV_INLINE_MAX, n, INLINE_BODY_MAX,
                         &out->reply, err);
}

/* Reads a reply until its end, which its header tells once it is here. */
static int read_reply(struct carrier *carrier, struct channel *channel, uint64_t room,
                      struct err *err)
{
    struct buf *buf = &carrier->received;
    size_t want = sizeof(struct fkv_lookup) + room;
    buf_clear(buf);
    for (;;) {
        if (buf_reserve(buf, want - buf->len))
            return err_set(err, -ENOMEM, "no memory for a reply of %zu bytes", want);
        ssize_t got = channel_read(channel, buf->data + buf->len, buf->cap - buf->len);
        if (got < 0)
            return err_sys(err, (int)got, "%s", channel->place->file);
        buf->len += (size_t)got;
        if (got == 0)
            return 0;
        if (buf->len < sizeof(struct fkv_lookup))
            continue;
        struct fkv_lookup head;
        memcpy(&head, buf->data, sizeof head);
        uint64_t body_len = head.error ? 0 : head.body_len;
        if (body_len > MESSAGE_BODY_MAX || buf->len >= sizeof head + body_len)
            return 0; /* whole, or nonsense that the decoder will name */
        want = sizeof head + body_len;
    }
}

static int ask_message(struct carrier *carrier, struct channel *channel,
                       const struct question *question, uint32_t from, uint32_t n,
                       struct answer *out, struct err *err)
{
    uint64_t room = carrier_room(carrier, question, n);
    /* A scan fills what room it gets, so it gets no more than a piece; only a longer first record
     * needs more, and then the daemon says so. */
    bool is_scan = question->flags & FKV_SCAN;
    int r = compose(carrier, question, from, n, 0, is_scan ? room : MESSAGE_BODY_MAX);
    if (r)
        return err_set(err, r, "no memory for a request");
    carrier->last = FKV_MESSAGE;
    r = channel_write(channel, carrier->sent.data, carrier->sent.len);
    if (r == -EBADF)
        return err_set(err, -EACCES, "%s may only be read; this transport writes",
                       channel->place->file);
    if (r)
        return err_sys(err, r, "%s", channel->place->file);
    r = read_reply(carrier, channel, room, err);
    if (r)
        return r;
    const struct buf *got = &carrier->received;
    size_t body_len =
        got->len > sizeof(struct fkv_lookup) ? got->len - sizeof(struct fkv_lookup) : 0;
    out->body = got->data + sizeof(struct fkv_lookup);
    return carrier_reply(question, got->data, got->len, n, body_len, &out->reply, err);
}

/* Whether n keys and their answer will fit an ioctl. */
static bool fits_inline(const struct carrier *carrier, const struct question *question)
{
    const struct keys *keys = &question->keys;
    return keys->n <= INLINE_BODY_MAX / 8 && keys_len(keys, 0, keys->n) <= INLINE_BODY_MAX &&
           carrier_room(carrier, question, keys->n) <= INLINE_BODY_MAX;
}

/* Asks in as many pieces as it takes; *n_done says how many keys were answered when the reply is
 * an error. */
static int ask_pieces(struct carrier *carrier, struct channel *channel,
                      const struct question *question, bool use_inline, struct answer *out,
                      uint32_t *n_done, struct err *err)
{
    const uint32_t n = question->keys.n;
    struct question piece = *question;
    struct pieces pieces;
    uint32_t limit = n;
    pieces_begin(&pieces, n, &carrier->joined);
    do {
        size_t space = use_inline ? INLINE_BODY_MAX : MESSAGE_LEN_MAX - sizeof(struct fkv_lookup);
        uint32_t count = keys_fit(&question->keys, *n_done, limit, space);
        int r = (use_inline ? ask_inline : ask_message)(carrier, channel, &piece, *n_done, count,
                                                        out, err);
        if (r)
            return r;
        if (out->reply.error == -ENOSPC && use_inline && carrier->wanted == FKV_AUTO) {
            use_inline = false;
            continue;
        }
        if (out->reply.error == -ENOSPC && count > 1) {
            limit = count / 2;
            continue;
        }
        if (out->reply.error || count == n)
            return 0;
        r = pieces_add(&pieces, count, &out->reply, out->body, err);
        if (r)
            return r;
        *n_done += count;
        piece.flags = (piece.flags & ~FKV_WANT_MASK) | FKV_WANT_EXACT;
        piece.version = out->reply.served;
    } while (*n_done < n);
    out->reply = *pieces_finish(&pieces);
    out->body = carrier->joined.data;
    return 0;
}

/* A piece of a scan is one question, whatever it brings; it is asked again only when not even its
 * first record found room. */
static int ask_scan(struct carrier *carrier, struct channel *channel,
                    const struct question *question, struct answer *out, struct err *err)
{
    const uint32_t n = question->keys.n;
    struct question piece = *question;
    bool use_inline =
        carrier->wanted == FKV_INLINE ||
        (carrier->wanted == FKV_AUTO && carrier_room(carrier, question, n) <= INLINE_BODY_MAX);
    for (;;) {
        uint64_t room = use_inline ? INLINE_BODY_MAX : carrier_room(carrier, &piece, n);
        int r = (use_inline ? ask_inline : ask_message)(carrier, channel, &piece, 0, n, out, err);
        if (r || out->reply.error != -ENOSPC)
            return r;
        piece.room = out->reply.body_len;
        if (use_inline && carrier->wanted == FKV_AUTO)
            use_inline = false;
        else if (use_inline || piece.room <= room || piece.room > MESSAGE_BODY_MAX)
            return 0;
    }
}

int copied_ask(struct carrier *carrier, struct channel *channel, const struct question *question,
               struct answer *out, struct err *err)
{
    if (question->flags & FKV_SCAN)
        return ask_scan(carrier, channel, question, out, err);
    bool use_inline = carrier->wanted == FKV_INLINE ||
                      (carrier->wanted == FKV_AUTO && fits_inline(carrier, question));
    for (;;) {
        uint32_t n_done = 0;
        int r = ask_pieces(carrier, channel, question, use_inline, out, &n_done, err);
        int error = r ? 0 : out->reply.error;
        bool moved = (error == -ESTALE || error == -EACCES) && n_done &&
                     (question->flags & FKV_WANT_MASK) != FKV_WANT_EXACT;
        if (!moved)
            return r;
        /* The version that answered the first keys was retired, or closed, before the last: ask all
         * again. */
        if (channel_now_ns() >= question->deadline_ns)
            return err_set(err, -ETIMEDOUT,
                           "versions change faster than %u keys can be asked this way",
                           question->keys.n);
    }
}
