/* SPDX-License-Identifier: Apache-2.0 */
#include "client/carrier.h"

#include "base/bytes.h"
#include "client/copied.h"

#include <errno.h>

enum {
    ROOM_VARYING = 128,   /* bytes a key to begin with when values vary */
    ROOM_MAX = 64 << 20,  /* beyond this, room is made when the daemon asks for it */
    SCAN_ROOM = 4 << 20,  /* of one piece of a scan: enough that asking costs little */
    RECORD_MAX = 8 + 256, /* bytes of a scan's record beyond its value */
};

void carrier_init(struct carrier *carrier, enum fkv_transport wanted)
{
    *carrier = (struct carrier){.wanted = wanted, .last = wanted};
    arena_init(&carrier->arena);
}

void carrier_release(struct carrier *carrier)
{
    arena_release(&carrier->arena);
    buf_release(&carrier->sent);
    buf_release(&carrier->received);
    buf_release(&carrier->joined);
}

uint64_t carrier_room(const struct carrier *carrier, const struct question *question, uint32_t n)
{
    if (question->flags & FKV_SCAN) {
        uint64_t records = (uint64_t)n * (carrier->key_room + RECORD_MAX);
        uint64_t room = records < SCAN_ROOM ? records : SCAN_ROOM;
        return room < question->room ? question->room : room;
    }
    uint64_t values = (uint64_t)carrier->key_room * n;
    return 64 + align_up(n, 64) + (values < ROOM_MAX ? values : ROOM_MAX);
}

/* Room for the next answer is the last one's, and an eighth more. */
static void learn_room(struct carrier *carrier, uint32_t n, const struct wire_reply *reply)
{
    if (!n || reply->body_len <= n)
        return;
    uint64_t room = (reply->body_len - n) / n;
    room += reply->stride ? 1 : room / 8 + 8;
    carrier->key_room = room < ROOM_MAX ? (uint32_t)room : ROOM_MAX;
}

/* Names the whole arena to the daemon, if it has not got it yet. */
static int attach_arena(struct carrier *carrier, struct channel *channel, struct err *err)
{
    const struct arena *arena = &carrier->arena;
    if (carrier->attached == arena->len)
        return 0;
    struct fkv_attach attach = {.magic = FKV_MAGIC, .fd = arena->fd, .len = arena->len};
    int r = arena->fd < 0 ? -ENOSYS : channel_ioctl(channel, FKV_IOC_ATTACH, &attach);
    if (r)
        return err_sys(err, r, "the daemon cannot share memory with this process");
    carrier->attached = arena->len;
    return 0;
}

int carrier_attach(struct carrier *carrier, struct channel *channel, struct err *err)
{
    const struct fkv_info *info = &channel->info;
    carrier->attached = 0;
    carrier->refused = carrier->wanted != FKV_AUTO && carrier->wanted != FKV_SHARED;
    carrier->last = carrier->wanted == FKV_AUTO ? FKV_SHARED : carrier->wanted;
    carrier->key_room = 8 + (info->dim         ? 4 * info->dim
                             : info->value_len ? info->value_len
                                               : ROOM_VARYING);
    if (carrier->refused)
        return 0;
    int r = arena_grow(&carrier->arena, 1, err);
    if (!r)
        r = attach_arena(carrier, channel, err);
    if (r && (carrier->wanted == FKV_SHARED || channel_is_broken(r)))
        return r;
    carrier->refused = r != 0;
    if (carrier->refused)
        carrier->last = FKV_MESSAGE;
    return 0;
}

struct fkv_lookup carrier_request(const struct question *question, uint32_t n, size_t keys_off,
                                  size_t keys_len)
{
    return (struct fkv_lookup){
        .magic = FKV_MAGIC,
        .flags = question->flags,
        .version = question->version,
        .deadline_ns = question->deadline_ns,
        .n_keys = n,
        .key_type = keys_type(&question->keys),
        .keys_off = keys_off,
        .keys_len = keys_len,
    };
}

int carrier_reply(const struct question *question, const void *data, size_t len, uint32_t n,
                  uint64_t out_len, struct wire_reply *out, struct err *err)
{
    return question->flags & FKV_SCAN ? wire_scan_reply_decode(data, len, n, out_len, out, err)
                                      : wire_reply_decode(data, len, n, out_len, out, err);
}

/* True when the caller wrote the keys into the arena itself (fkv_keys_u64); *off says where. */
static bool keys_in_arena(const struct arena *arena, const struct keys *keys, size_t *off)
{
    uintptr_t at = (uintptr_t)keys->u64;
    uintptr_t start = (uintptr_t)arena->data;
    if (!keys->u64 || at < start || at - start >= arena->len || (at - start) % 8)
        return false;
    *off = at - start;
    return range_within(*off, 8 * (uint64_t)keys->n, arena->len);
}

static int ask_shared(struct carrier *carrier, struct channel *channel,
                      const struct question *question, struct answer *out, struct err *err)
{
    const struct keys *keys = &question->keys;
    struct arena *arena = &carrier->arena;
    size_t keys_off = 0;
    bool in_place = keys_in_arena(arena, keys, &keys_off);
    size_t len = keys_len(keys, 0, keys->n);
    size_t out_off = align_up(keys_off + len, 64);
    uint64_t room = carrier_room(carrier, question, keys->n);
    carrier->last = FKV_SHARED;
    for (;;) {
        int r = arena_grow(arena, out_off + room, err);
        if (!r)
            r = attach_arena(carrier, channel, err);
        if (r)
            return r;
        if (!in_place)
            keys_write(keys, 0, keys->n, arena->data);
        struct fkv_lookup lookup = carrier_request(question, keys->n, keys_off, len);
        lookup.out_off = out_off;
        lookup.out_len = arena->len - out_off;
        r = channel_ioctl(channel, FKV_IOC_LOOKUP, &lookup);
        if (r)
            return err_sys(err, r, "%s", channel->place->file);
        r = carrier_reply(question, &lookup, sizeof lookup, keys->n, lookup.out_len, &out->reply,
                          err);
        if (r)
            return r;
        if (out->reply.error != -ENOSPC || out->reply.body_len <= lookup.out_len)
            break;
        room = out->reply.body_len;
    }
    out->body = arena->data + out_off;
    return 0;
}

int carrier_ask(struct carrier *carrier, struct channel *channel, const struct question *question,
                struct answer *out, struct err *err)
{
    int r = carrier->refused ? copied_ask(carrier, channel, question, out, err)
                             : ask_shared(carrier, channel, question, out, err);
    bool outgrown = r && !carrier->refused && carrier->attached != carrier->arena.len;
    if (outgrown && carrier->wanted == FKV_AUTO && !channel_is_broken(r)) {
        carrier->refused = true; /* the daemon took a smaller arena, but not this one */
        r = copied_ask(carrier, channel, question, out, err);
    }
    if (!r && !out->reply.error && !(question->flags & FKV_SCAN))
        learn_room(carrier, question->keys.n, &out->reply);
    return r;
}
