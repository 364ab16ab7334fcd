/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse/session.h"

#include "base/scope.h"
#include "fuse/answer.h"
#include "fuse/arena.h"
#include "fuse/written.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

struct session {
    struct answer_source source;
    struct stats *stats;
    struct quota_user *user;
    pthread_mutex_t lock;
    struct arena *arena;    /* under lock */
    uint64_t arena_charged; /* under lock: its bytes, that the user pays for */
    struct message message; /* under lock */
    bool is_asked;          /* under lock: message.request is whole and not yet answered */
    struct wire_request asked;
    bool is_busy;   /* under lock: a request is being answered in a thread that waits for a disk */
    size_t running; /* under lock: bytes of that request, in no message meanwhile */
    size_t charged; /* under lock: our share of stats->message_bytes */
};

int session_open(struct table *table, struct version *pinned, struct stats *stats,
                 struct quota_user *user, struct session **out)
{
    struct session *session = calloc(1, sizeof *session);
    struct table_stats *table_stats = stats_table(stats, table_index(table));
    if (!session || !table_stats) {
        free(session);
        return -ENOMEM;
    }
    session->source = (struct answer_source){table, pinned, table_stats, answer_access_now(table)};
    session->stats = stats;
    session->user = user;
    pthread_mutex_init(&session->lock, NULL);
    metric_add(&stats->sessions, 1);
    *out = session;
    return 0;
}

/* Accounts for what the message holds now. Called with the lock held. */
static void charge_message(struct session *session)
{
    const struct message *message = &session->message;
    size_t bytes = (message->request ? message->request->cap : 0) +
                   (message->reply ? message->reply->cap : 0) + session->running;
    metric_add(&session->stats->message_bytes, bytes);
    metric_sub(&session->stats->message_bytes, session->charged);
    quota_change(session->user, QUOTA_MESSAGE_BYTES, session->charged, bytes);
    session->charged = bytes;
}

static int charge_arena(struct quota_user *user, uint64_t len, struct err *err)
{
    if (!quota_take(user, QUOTA_ARENAS, 1))
        return err_set(err, -EMFILE, "attach: expected at most %llu arenas of one user",
                       (unsigned long long)quota_limit(QUOTA_ARENAS) / QUOTA_SHARES);
    if (quota_take(user, QUOTA_ARENA_BYTES, len))
        return 0;
    quota_change(user, QUOTA_ARENAS, 1, 0);
    return err_set(err, -ENOSPC, "attach: expected at most %llu bytes in all arenas of one user",
                   (unsigned long long)quota_limit(QUOTA_ARENA_BYTES) / QUOTA_SHARES);
}

/* len 0: there was none. */
static void discharge_arena(struct quota_user *user, uint64_t len)
{
    quota_change(user, QUOTA_ARENAS, len ? 1 : 0, 0);
    quota_change(user, QUOTA_ARENA_BYTES, len, 0);
}

void session_close(struct session *session)
{
    if (!session)
        return;
    message_release(&session->message);
    charge_message(session);
    metric_sub(&session->stats->sessions, 1);
    arena_unref(session->arena);
    discharge_arena(session->user, session->arena_charged);
    quota_leave(session->user);
    version_unpin(session->source.pinned);
    pthread_mutex_destroy(&session->lock);
    free(session);
}

static void info_fill(const struct version *version, struct fkv_info *info)
{
    info->version = version_id(version);
    info->n_keys = version_n_keys(version);
    if (!version_is_loaded(version))
        return;
    const struct schema *schema = version_schema(version);
    info->key_type = schema->key_type;
    info->elem = schema->elem;
    info->dim = schema->dim;
    info->value_len = schema->value_len;
}

void session_info(const struct session *session, uint64_t daemon_id, struct fkv_info *out)
{
    const struct answer_source *source = &session->source;
    *out = (struct fkv_info){
        .magic = FKV_MAGIC, .protocol = FKV_PROTOCOL_VERSION, .daemon_id = daemon_id};
    struct version *current = source->pinned ? NULL : table_pin_current(source->table);
    if (source->pinned || current)
        info_fill(source->pinned ? source->pinned : current, out);
    version_unpin(current);
}

int session_attach(struct session *session, pid_t tid, const void *data, size_t len,
                   struct err *err)
{
    struct fkv_attach attach;
    struct arena *arena = NULL;
    int ret = wire_attach_decode(data, len, &attach, err);
    if (ret)
        return ret;
    scope_fd int fd = arena_fetch_fd(tid, attach.fd, err);
    if (fd < 0)
        return fd;
    ret = charge_arena(session->user, attach.len, err);
    if (ret)
        return ret;
    ret = arena_map(fd, attach.len, &arena, err);
    if (ret) {
        discharge_arena(session->user, attach.len);
        return ret;
    }
    pthread_mutex_lock(&session->lock);
    struct arena *before = session->arena;
    uint64_t charged_before = session->arena_charged;
    session->arena = arena;
    session->arena_charged = attach.len;
    pthread_mutex_unlock(&session->lock);
    arena_unref(before);
    discharge_arena(session->user, charged_before);
    return 0;
}

static struct arena *take_arena(struct session *session)
{
    scope_lock(&session->lock);
    return session->arena ? arena_ref(session->arena) : NULL;
}

static int lookup_in(struct session *session, struct arena *arena, const struct answer_disk *disk,
                     struct fkv_lookup *lookup, struct err *err)
{
    struct wire_request request;
    struct wire_reply reply;
    int ret =
        wire_request_decode(lookup, sizeof *lookup, WIRE_SHARED, arena_len(arena), &request, err);
    if (ret)
        return ret;
    const struct answer_space space = {
        .keys = arena_data(arena) + request.keys_off,
        .out = arena_data(arena) + request.out_off,
        .out_cap = request.out_len,
        .guard = arena_data(arena),
        .guard_len = arena_len(arena),
    };
    answer_batch(&session->source, &request, &space, disk, &reply);
    if (reply.error == DISK_NEEDED)
        return DISK_NEEDED;
    wire_reply_encode(&reply, lookup);
    return 0;
}

int session_lookup(struct session *session, const void *data, size_t len,
                   const struct answer_disk *disk, struct fkv_lookup *out, struct err *err)
{
    struct fkv_lookup lookup;
    if (len < sizeof lookup)
        return err_set(err, -EPROTO, "lookup: expected %zu bytes, found %zu", sizeof lookup, len);
    struct arena *arena = take_arena(session);
    if (!arena)
        return err_set(err, -EINVAL, "lookup: expected FKV_IOC_ATTACH first");
    memcpy(&lookup, data, sizeof lookup);
    int ret = lookup_in(session, arena, disk, &lookup, err);
    arena_unref(arena);
    if (ret)
        return ret;
    *out = lookup;
    return 0;
}

int session_inline(struct session *session, const void *data, size_t len,
                   const struct answer_disk *disk, uint8_t *out, size_t *out_len, struct err *err)
{
    struct wire_request request;
    struct wire_reply reply;
    _Alignas(64) uint8_t body[FKV_INLINE_MAX];
    size_t room = FKV_INLINE_MAX - sizeof(struct fkv_lookup);
    int ret = wire_request_decode(data, len, WIRE_MESSAGE, len, &request, err);
    if (ret)
        return ret;
    const struct answer_space space = {
        .keys = (const uint8_t *)data + request.keys_off,
        .out = body,
        .out_cap = request.out_len < room ? request.out_len : room,
    };
    answer_batch(&session->source, &request, &space, disk, &reply);
    if (reply.error == DISK_NEEDED)
        return DISK_NEEDED;
    memcpy(out, data, sizeof(struct fkv_lookup));
    wire_reply_encode(&reply, out);
    size_t body_len = reply.error ? 0 : reply.body_len;
    memcpy(out + sizeof(struct fkv_lookup), body, body_len);
    *out_len = sizeof(struct fkv_lookup) + body_len;
    return 0;
}

/* What is left of the memory for messages, for this session. */
static uint64_t message_room(const struct session *session)
{
    uint64_t room = quota_left(session->user, QUOTA_MESSAGE_BYTES) + session->charged;
    return room > MESSAGE_SMALL ? room : MESSAGE_SMALL;
}

/* Decodes the request that is now whole. */
static int take_request(struct session *session, struct err *err)
{
    const struct blob *written = session->message.request;
    int ret = wire_request_decode(written->data, written->len, WIRE_MESSAGE, written->len,
                                  &session->asked, err);
    session->is_asked = ret == 0;
    if (ret)
        message_forget_request(&session->message);
    return ret;
}

int session_write(struct session *session, const void *data, size_t len, struct err *err)
{
    scope_lock(&session->lock);
    if (len > message_room(session))
        return err_set(err, -ENOMEM,
                       "message: requests and replies take all memory that this user may have");
    session->is_asked = false;
    int ret = message_add(&session->message, data, len, err);
    if (ret == 1)
        ret = take_request(session, err);
    charge_message(session);
    return ret;
}

static struct written written_of(struct session *session, const struct answer_disk *disk)
{
    return (struct written){
        .source = &session->source,
        .disk = disk,
        .stats = session->stats,
        .user = session->user,
        .request = session->asked,
        .blob = session->message.request,
    };
}

static int set_reply(struct session *session, int ret, struct blob *reply, struct err *err)
{
    session->message.reply = reply;
    session->message.n_read = 0;
    return ret ? err_set(err, ret, "message: no memory for a reply") : 0;
}

/* Answers from memory. Called with the lock held: nobody else has business with this session
 * meanwhile. */
static int answer_now(struct session *session, struct err *err)
{
    struct written written = written_of(session, NULL);
    struct blob *reply = NULL;
    int ret = written_answer(&written, &reply);
    written_release(&written);
    if (ret == DISK_NEEDED)
        return ret;
    session->is_asked = false;
    message_forget_request(&session->message);
    return set_reply(session, ret, reply, err);
}

/* Takes the request out of the message, to be answered without the lock: workers take it. */
static void begin_answer(struct session *session, const struct answer_disk *disk,
                         struct written *out, struct blob **request)
{
    *out = written_of(session, disk);
    *request = scope_take(session->message.request);
    session->is_asked = false;
    session->is_busy = true;
    session->running = (*request)->cap;
    charge_message(session);
}

/* Called with the lock held. */
static int answer_later(struct session *session, const struct answer_disk *disk, struct err *err)
{
    struct written written;
    struct blob *request = NULL;
    struct blob *reply = NULL;
    begin_answer(session, disk, &written, &request);
    pthread_mutex_unlock(&session->lock);
    int ret = written_answer(&written, &reply);
    blob_unref(request);
    pthread_mutex_lock(&session->lock);
    written_release(&written); /* what is kept is charged with the message */
    session->is_busy = false;
    session->running = 0;
    if (!session->message.request)
        return set_reply(session, ret, reply, err);
    blob_unref(reply); /* of a request that another has replaced */
    return err_set(err, -ECANCELED,
                   "message: another request was written before this was answered");
}

int session_read(struct session *session, size_t max, const struct answer_disk *disk,
                 struct message_piece *out, struct err *err)
{
    int ret = 0;
    scope_lock(&session->lock);
    if (session->is_busy)
        return err_set(err, -EBUSY, "message: its reply is being waited for by another read");
    if (session->is_asked)
        ret = disk ? answer_later(session, disk, err) : answer_now(session, err);
    if (!ret)
        *out = message_next(&session->message, max);
    charge_message(session);
    return ret;
}
