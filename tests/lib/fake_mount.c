/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_mount.h"

#include "base/bytes.h"
#include "base/scope.h"
#include "wire/request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { FD_BASE = 1000, N_FDS = 16 };

struct fake_fd {
    bool open;
    int generation;
    uint64_t opened_under;
    uint64_t pinned; /* from ".../v/<id>/batch" */
    uint8_t *arena;
    size_t arena_len;
    uint8_t *reply; /* of the last message */
    size_t reply_len;
    size_t reply_read;
};

struct fake_mount fake;
static struct fake_fd fds[N_FDS];
static int generation;

bool fake_found(uint64_t key)
{
    return key % 4 != 3;
}

float fake_element(uint64_t key, uint64_t version, uint32_t i)
{
    return (float)(key % 100000) + (float)i * 0.5f + (float)version * 0.25f;
}

size_t fake_value(uint64_t key, uint64_t version, uint8_t out[FAKE_VALUE_MAX])
{
    if (fake.elem == FKV_ELEM_F32) {
        for (uint32_t i = 0; i < FAKE_DIM; i++) {
            float element = fake_element(key, version, i);
            memcpy(out + 4 * (size_t)i, &element, 4);
        }
        return 4 * (size_t)FAKE_DIM;
    }
    size_t len = (key * 7) % 61; /* key 0 has an empty value */
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(key + version * 3 + i);
    return len;
}

static void drop(struct fake_fd *fd)
{
    if (fd->arena)
        munmap(fd->arena, fd->arena_len);
    free(fd->reply);
    *fd = (struct fake_fd){0};
}

void fake_mount_reset(void)
{
    for (int i = 0; i < N_FDS; i++)
        drop(&fds[i]);
    fake = (struct fake_mount){
        .current = 7, .oldest = 6, .key_type = FKV_KEY_U64, .elem = FKV_ELEM_BYTES, .n_keys = 1000};
}

void fake_mount_restart(void)
{
    generation++;
}

int fake_mount_n_fds(void)
{
    int n = 0;
    for (int i = 0; i < N_FDS; i++)
        n += fds[i].open;
    return n;
}

static int fail(int code)
{
    errno = code;
    return -1;
}

static int fake_open(const char *path, int flags)
{
    fake.n_open++;
    if (fake.open_error)
        return fail(fake.open_error);
    if (fake.read_only && (flags & O_ACCMODE) == O_RDWR)
        return fail(EACCES);
    unsigned long long pinned = 0;
    const char *v = strstr(path, "/v/");
    if (v && sscanf(v, "/v/%llu/batch", &pinned) == 1 &&
        (pinned < fake.oldest || pinned > fake.current))
        return fail(ENOENT);
    for (int i = 0; i < N_FDS; i++) {
        if (fds[i].open)
            continue;
        fds[i] = (struct fake_fd){
            .open = true, .generation = generation, .opened_under = fake.current, .pinned = pinned};
        return FD_BASE + i;
    }
    return fail(EMFILE);
}

static int fake_close(int fd)
{
    drop(&fds[fd - FD_BASE]);
    return 0;
}

static struct fake_fd *live(int number)
{
    struct fake_fd *fd = &fds[number - FD_BASE];
    if (fd->open && fd->generation == generation && !fake.open_error)
        return fd;
    errno = ENOTCONN;
    return NULL;
}

static uint64_t version_of(const struct fake_fd *fd)
{
    return fd->pinned ? fd->pinned : fake.current;
}

static int give_info(const struct fake_fd *fd, struct fkv_info *info)
{
    *info = (struct fkv_info){
        .magic = FKV_MAGIC,
        .protocol = fake.wrong_protocol ? 9 : FKV_PROTOCOL_VERSION,
        .version = version_of(fd),
        .n_keys = fake.n_keys,
        .key_type = fake.key_type,
        .elem = fake.elem,
        .dim = fake.elem == FKV_ELEM_F32 ? FAKE_DIM : 0,
        .value_len = fake.elem == FKV_ELEM_F32 ? 4 * FAKE_DIM : 0,
        .daemon_id = (uint64_t)generation + 1,
    };
    return 0;
}

static int take_arena(struct fake_fd *fd, const void *arg)
{
    struct fkv_attach attach;
    fake.n_attach++;
    if (fake.attach_error)
        return fail(fake.attach_error);
    int r = wire_attach_decode(arg, sizeof attach, &attach, NULL);
    if (r)
        return fail(-r);
    if (fake.attach_max && attach.len > fake.attach_max)
        return fail(ENOMEM);
    if (!(fcntl(attach.fd, F_GET_SEALS) & F_SEAL_SHRINK))
        return fail(EPERM);
    void *arena = mmap(NULL, attach.len, PROT_READ | PROT_WRITE, MAP_SHARED, attach.fd, 0);
    if (arena == MAP_FAILED)
        return fail(errno);
    if (fd->arena)
        munmap(fd->arena, fd->arena_len);
    fd->arena = arena;
    fd->arena_len = attach.len;
    return 0;
}

/* The number of key i, or -EPROTO. */
static int key_number(const struct wire_request *request, const uint8_t *keys, uint32_t i,
                      uint64_t *out)
{
    if (request->key_type == FKV_KEY_U64) {
        *out = load_le64(keys + 8 * (size_t)i);
        return 0;
    }
    uint32_t start = i ? load_le32(keys + 4 * (size_t)(i - 1)) : 0;
    uint32_t end = load_le32(keys + 4 * (size_t)i);
    char text[256] = "";
    if (end <= start || end - start > 255 || 4ull * request->n_keys + end > request->keys_len)
        return -EPROTO;
    memcpy(text, keys + 4 * (size_t)request->n_keys + start, end - start);
    *out = strtoull(text + 1, NULL, 10);
    return 0;
}

static void lay_out(const struct wire_request *request, uint64_t version, struct wire_reply *reply)
{
    uint64_t n = request->n_keys;
    bool fixed = fake.elem == FKV_ELEM_F32;
    reply->served = version;
    bool as_f32 = (request->flags & FKV_FORM_MASK) == FKV_FORM_F32;
    reply->value_len = fixed ? 4 * FAKE_DIM : 0;
    reply->stride = as_f32 ? reply->value_len : (uint32_t)align_up(reply->value_len, 8);
    reply->locs_off = fixed ? 0 : align_up(n, 8);
    reply->values_off = align_up(fixed ? n : reply->locs_off + 8 * n, 64);
    reply->body_len = reply->values_off + n * reply->stride;
}

/* Fills body with the answer; a body longer than cap is only measured. */
static int fill(const struct wire_request *request, const uint8_t *keys, uint64_t version,
                uint8_t *body, uint64_t cap, struct wire_reply *reply)
{
    uint8_t value[FAKE_VALUE_MAX];
    lay_out(request, version, reply);
    for (uint32_t i = 0; i < request->n_keys; i++) {
        uint64_t key = 0;
        if (key_number(request, keys, i, &key))
            return -EPROTO;
        size_t len = fake_found(key) ? fake_value(key, version, value) : 0;
        uint64_t at = reply->values_off + (uint64_t)i * reply->stride;
        if (!reply->stride) {
            at = reply->body_len;
            struct fkv_loc loc = {(uint32_t)((at - reply->values_off) / 8), (uint32_t)len};
            reply->body_len = align_up(at + len, 8);
            if (reply->locs_off + 8 * (uint64_t)(i + 1) <= cap)
                memcpy(body + reply->locs_off + 8 * (size_t)i, &loc, 8);
        }
        if (i < cap)
            body[i] = fake_found(key) ? FKV_STATUS_FOUND : FKV_STATUS_ABSENT;
        if (at + len <= cap)
            memcpy(body + at, value, len);
        reply->n_found += fake_found(key);
    }
    return reply->body_len > cap ? -ENOSPC : 0;
}

/* Whether a key lies in [from, to) of a scan's request. */
static bool in_range(const struct wire_request *request, const uint8_t *bounds, uint64_t number,
                     const char *text)
{
    if (request->key_type == FKV_KEY_U64) {
        uint64_t to = load_le64(bounds + 8);
        return number >= load_le64(bounds) && (!to || number < to);
    }
    char from[257] = "", to[257] = "";
    uint32_t from_len = load_le32(bounds), end = load_le32(bounds + 4);
    memcpy(from, bounds + 8, from_len);
    memcpy(to, bounds + 8 + from_len, end - from_len);
    size_t len = strlen(text);
    /* No key is longer than the others, so one that ends in a NUL is just behind itself. */
    bool behind = from_len > len && !memcmp(from, text, len);
    return !behind && strcmp(text, from) >= 0 && (!*to || strcmp(text, to) < 0);
}

/* Appends a record if it fits; false when it does not. */
static bool add_record(uint64_t number, const char *text, uint64_t version, uint8_t *body,
                       uint64_t cap, struct wire_reply *reply, uint64_t *needed)
{
    static uint8_t value[32 << 20];
    size_t len = fake.scan_value_len ? fake.scan_value_len : fake_value(number, version, value);
    bool is_u64 = fake.key_type == FKV_KEY_U64;
    struct fkv_record head = {
        .value_len = fake.scan_fails ? 0 : (uint32_t)len,
        .key_len = (uint8_t)(is_u64 ? 8 : strlen(text)),
        .status = fake.scan_fails ? FKV_STATUS_FAILED : FKV_STATUS_FOUND,
    };
    uint64_t value_off = sizeof head + 8;
    *needed = value_off + align_up(head.value_len, 8);
    if (*needed > cap - reply->body_len)
        return false;
    uint8_t *at = body + reply->body_len;
    memset(at, 0, *needed);
    memcpy(at, &head, sizeof head);
    memcpy(at + sizeof head, is_u64 ? (const void *)&number : text, head.key_len);
    memcpy(at + value_off, value, head.value_len);
    reply->body_len += *needed;
    reply->n_found++;
    return true;
}

static int fill_scan(const struct wire_request *request, const uint8_t *bounds, uint64_t version,
                     uint8_t *body, uint64_t cap, struct wire_reply *reply)
{
    uint32_t n_max = request->n_keys;
    uint64_t needed = 0;
    fake.n_scan++;
    if (fake.scan_n_max && fake.scan_n_max < n_max)
        n_max = fake.scan_n_max;
    for (uint32_t i = 0; i < fake.n_keys; i++) {
        char text[16];
        snprintf(text, sizeof text, "k%06u", i);
        bool wanted = fake_found(i) && (fake.scan_backwards || in_range(request, bounds, i, text));
        if (!wanted)
            continue;
        if (reply->n_found == n_max || !add_record(i, text, version, body, cap, reply, &needed)) {
            reply->has_more = 1;
            break;
        }
    }
    reply->served = version;
    reply->body_len -= fake.scan_overrun ? 8 : 0;
    if (!reply->has_more || reply->n_found)
        return 0;
    reply->body_len = needed;
    return -ENOSPC;
}

static int refuse(const struct fake_fd *fd, const struct wire_request *request, uint64_t *version)
{
    *version = version_of(fd);
    uint32_t want = request->flags & FKV_WANT_MASK;
    if (fake.reply_error)
        return fake.reply_error;
    if (fake.closes && fd->opened_under != fake.current)
        return -EACCES;
    if (!*version)
        return -ENOENT;
    if (request->key_type != fake.key_type)
        return -EINVAL;
    if (request->flags & FKV_SCAN && fake.not_idx)
        return -ENOTSUP;
    if ((request->flags & FKV_FORM_MASK) == FKV_FORM_F32 && fake.elem == FKV_ELEM_BYTES)
        return -ENOTSUP;
    if (want == FKV_WANT_AT_LEAST && *version < request->version)
        return -EAGAIN;
    if (want != FKV_WANT_EXACT)
        return 0;
    *version = request->version;
    bool ours =
        fd->pinned ? *version == fd->pinned : *version >= fake.oldest && *version <= fake.current;
    return ours ? 0 : -ESTALE;
}

static void answer(const struct fake_fd *fd, const struct wire_request *request,
                   const uint8_t *keys, uint8_t *body, uint64_t cap, void *lookup)
{
    uint64_t version = 0;
    struct wire_reply reply = {0};
    fake.last_deadline_ns = request->deadline_ns;
    int r = refuse(fd, request, &version);
    if (!r)
        r = (request->flags & FKV_SCAN ? fill_scan : fill)(request, keys, version, body, cap,
                                                           &reply);
    reply.error = r;
    if (fake.forge_stride)
        reply.values_off = UINT64_MAX - 7;
    if (fake.forge_served)
        reply.served++;
    wire_reply_encode(&reply, lookup);
}

/* What happens at the start of every lookup, whatever its transport: the programmed accidents. */
static int begin_lookup(void)
{
    if (fake.n_call_errors > 0) {
        fake.n_call_errors--;
        return fail(fake.call_error);
    }
    if (fake.lookups_to_restart > 0 && --fake.lookups_to_restart == 0) {
        fake_mount_restart();
        fake.open_error = fake.gone_after ? ENOENT : 0;
        return fail(ECONNABORTED);
    }
    return 0;
}

static void end_lookup(void)
{
    if (fake.lookups_to_switch > 0 && --fake.lookups_to_switch == 0)
        fake.oldest = ++fake.current;
}

static int lookup_shared(struct fake_fd *fd, void *arg)
{
    struct wire_request request;
    fake.n_lookup++;
    if (begin_lookup())
        return -1;
    int r = wire_request_decode(arg, sizeof(struct fkv_lookup), WIRE_SHARED, fd->arena_len,
                                &request, NULL);
    if (r)
        return fail(-r);
    answer(fd, &request, fd->arena + request.keys_off, fd->arena + request.out_off, request.out_len,
           arg);
    end_lookup();
    return 0;
}

/* Answers a message into a new reply of its own. */
static int answer_message(struct fake_fd *fd, const void *data, size_t len, uint64_t cap)
{
    struct wire_request request;
    int r = wire_request_decode(data, len, WIRE_MESSAGE, len, &request, NULL);
    if (r)
        return fail(-r);
    uint64_t room = request.out_len < cap ? request.out_len : cap;
    free(fd->reply);
    fd->reply = calloc(1, sizeof(struct fkv_lookup) + room);
    memcpy(fd->reply, data, sizeof(struct fkv_lookup));
    answer(fd, &request, (const uint8_t *)data + request.keys_off,
           fd->reply + sizeof(struct fkv_lookup), room, fd->reply);
    struct fkv_lookup head;
    memcpy(&head, fd->reply, sizeof head);
    fd->reply_len = sizeof head + (head.error ? 0 : head.body_len);
    fd->reply_read = 0;
    end_lookup();
    return 0;
}

static int lookup_inline(struct fake_fd *fd, void *arg)
{
    fake.n_inline++;
    if (begin_lookup() ||
        answer_message(fd, arg, FKV_INLINE_MAX, FKV_INLINE_MAX - sizeof(struct fkv_lookup)))
        return -1;
    memcpy(arg, fd->reply, fd->reply_len);
    return 0;
}

static int fake_ioctl(int number, unsigned long request, void *arg)
{
    struct fake_fd *fd = live(number);
    if (!fd)
        return -1;
    switch (request) {
    case FKV_IOC_INFO:
        return give_info(fd, arg);
    case FKV_IOC_ATTACH:
        return take_arena(fd, arg);
    case FKV_IOC_LOOKUP:
        return lookup_shared(fd, arg);
    case FKV_IOC_INLINE:
        return lookup_inline(fd, arg);
    default:
        return fail(ENOTTY);
    }
}

static ssize_t fake_write(int number, const void *data, size_t len)
{
    struct fake_fd *fd = live(number);
    fake.n_message++;
    if (len > fake.largest_write)
        fake.largest_write = len;
    if (!fd || begin_lookup() || answer_message(fd, data, len, 64 << 20))
        return -1;
    return (ssize_t)len;
}

/* As a real mount, it hands out at most 1 MiB at a time. */
static ssize_t fake_read(int number, void *data, size_t len)
{
    struct fake_fd *fd = live(number);
    if (!fd)
        return -1;
    size_t n = fd->reply_len - fd->reply_read;
    n = n < len ? n : len;
    n = n < 1 << 20 ? n : 1 << 20;
    if (n)
        memcpy(data, fd->reply + fd->reply_read, n);
    fd->reply_read += n;
    return (ssize_t)n;
}

const struct channel_ops fake_mount_ops = {
    .open = fake_open,
    .close = fake_close,
    .ioctl = fake_ioctl,
    .write = fake_write,
    .read = fake_read,
};
