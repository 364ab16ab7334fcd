/* SPDX-License-Identifier: Apache-2.0 */
/* One open lookup file, on a real node: arenas, messages, inline requests, and memory that goes
 * away. */
#include "unit.h"

#include "base/bytes.h"
#include "fuse/arena.h"
#include "fuse/guard.h"
#include "fuse/session.h"
#include "node_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARENA = 1 << 20, OUT = 1 << 16, N_KEYS = 1000 };

struct world {
    struct node_fixture fixture;
    struct node *node;
    struct table *table;
    struct stats *stats;
    struct quota *quota;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct err err = {0};
    node_fixture_init(&world->fixture);
    node_fixture_release_version(&world->fixture, "ads", 7, N_KEYS);
    assert_int_equal(node_fixture_open(&world->fixture, "cache", 0, &world->node, &err), 0);
    node_fixture_settle(world->node);
    world->table = node_table_find(world->node, "ads");
    assert_non_null(world->table);
    assert_int_equal(stats_new(&world->stats), 0);
    assert_int_equal(quota_new(&world->quota), 0);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    node_close(world->node);
    node_fixture_release(&world->fixture);
    stats_free(world->stats);
    quota_free(world->quota);
    free(world);
    return 0;
}

static struct session *open_session_of(struct world *world, struct version *pinned, uid_t uid)
{
    struct session *session = NULL;
    struct quota_user *user = quota_join(world->quota, uid);
    assert_non_null(user);
    assert_int_equal(session_open(world->table, pinned, world->stats, user, &session), 0);
    return session;
}

static struct session *open_session(struct world *world)
{
    return open_session_of(world, NULL, 1000);
}

static int sealed_memfd(size_t len, int seals)
{
    int fd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_true(fd >= 0);
    assert_int_equal(posix_fallocate(fd, 0, (off_t)len), 0);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static struct fkv_lookup ask(uint32_t n_keys)
{
    return (struct fkv_lookup){
        .magic = FKV_MAGIC,
        .n_keys = n_keys,
        .key_type = FKV_KEY_U64,
        .keys_off = sizeof(struct fkv_lookup),
        .keys_len = 8ull * n_keys,
        .out_off = OUT,
        .out_len = ARENA - OUT,
    };
}

/* The tag that the fixture wrote into a value. */
static uint32_t tag_of(const uint8_t *body, uint64_t values_off, uint32_t stride, uint32_t i)
{
    return load_le32(body + values_off + (uint64_t)stride * i + 4);
}

static void session__answers_from_an_arena(void **state)
{
    struct session *session = open_session(*state);
    int fd = sealed_memfd(ARENA, F_SEAL_SHRINK);
    uint8_t *arena = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct fkv_attach attach = {FKV_MAGIC, fd, ARENA};
    struct fkv_lookup lookup = ask(3);
    struct fkv_lookup out;
    struct err err = {0};
    assert_int_equal(session_lookup(session, &lookup, sizeof lookup, NULL, &out, &err), -EINVAL);
    assert_int_equal(session_attach(session, getpid(), &attach, sizeof attach, &err), 0);
    const uint64_t keys[] = {5, N_KEYS, 0};
    memcpy(arena + lookup.keys_off, keys, sizeof keys);
    assert_int_equal(session_lookup(session, &lookup, sizeof lookup, NULL, &out, &err), 0);
    assert_int_equal(out.error, 0);
    assert_int_equal(out.n_found, 2);
    assert_int_equal(out.served, 1);
    assert_memory_equal(arena + OUT, "\0\1\0", 3);
    assert_int_equal(tag_of(arena + OUT, out.values_off, out.stride, 0), 7);
    session_close(session);
    munmap(arena, ARENA);
    close(fd);
}

static void session__a_new_arena_replaces_the_old(void **state)
{
    struct world *world = *state;
    struct session *session = open_session(world);
    struct err err = {0};
    for (size_t len = 4096; len <= ARENA; len *= 4) {
        int fd = sealed_memfd(len, F_SEAL_SHRINK);
        struct fkv_attach attach = {FKV_MAGIC, fd, len};
        assert_int_equal(session_attach(session, getpid(), &attach, sizeof attach, &err), 0);
        close(fd);
    }
    session_close(session);
    assert_int_equal(metric_get(&world->stats->sessions), 0);
}

static void arena__must_be_a_sealed_memfd_that_is_long_enough(void **state)
{
    struct arena *arena = NULL;
    struct err err = {0};
    int open_fd = sealed_memfd(8192, F_SEAL_GROW);
    int sealed = sealed_memfd(8192, F_SEAL_SHRINK);
    int zero = open("/dev/zero", O_RDWR);
    int hollow = sealed_memfd(4096, 0);
    assert_int_equal(ftruncate(hollow, 8192), 0);
    assert_int_equal(fcntl(hollow, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_int_equal(arena_map(open_fd, 8192, &arena, &err), -EPERM);
    assert_non_null(strstr(err.text, "F_SEAL_SHRINK"));
    assert_int_equal(arena_map(sealed, 12288, &arena, &err), -EINVAL);
    assert_int_equal(arena_map(zero, 4096, &arena, &err), -EINVAL);
    assert_int_equal(arena_map(hollow, 8192, &arena, &err), -EINVAL);
    assert_int_equal(arena_fetch_fd(getpid(), 9999, &err), -EBADF);
    assert_int_equal(arena_fetch_fd(0, sealed, &err), -EOPNOTSUPP);
    assert_null(arena);
    assert_int_equal(arena_map(sealed, 8192, &arena, &err), 0);
    arena_ref(arena);
    arena_unref(arena);
    arena_data(arena)[8191] = 1;
    arena_unref(arena);
    arena_unref(NULL);
    close(open_fd);
    close(sealed);
    close(zero);
    close(hollow);
}

struct touching {
    volatile uint8_t *at;
    bool finished;
};

static void touch(void *context)
{
    struct touching *touching = context;
    *touching->at = 1;
    touching->finished = true;
}

static void guard__a_page_that_is_gone_ends_the_work_only(void **state)
{
    int fd = memfd_create("shrinks", MFD_CLOEXEC);
    assert_int_equal(guard_install(), 0); /* cmocka has put its own handler there */
    assert_int_equal(ftruncate(fd, 8192), 0);
    uint8_t *data = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct touching touching = {.at = data + 4096};
    assert_int_equal(guard_run(data, 8192, touch, &touching), 0);
    assert_true(touching.finished);
    assert_int_equal(ftruncate(fd, 4096), 0);
    for (int i = 0; i < 3; i++) { /* the handler works again and again */
        touching.finished = false;
        assert_int_equal(guard_run(data, 8192, touch, &touching), -EFAULT);
        assert_false(touching.finished);
    }
    touching.at = data;
    assert_int_equal(guard_run(data, 8192, touch, &touching), 0);
    munmap(data, 8192);
    close(fd);
}

/* Request and keys in one message; returns its length. */
static size_t compose(uint8_t *message, uint32_t n_keys, uint64_t first)
{
    struct fkv_lookup lookup = ask(n_keys);
    memcpy(message, &lookup, sizeof lookup);
    for (uint32_t i = 0; i < n_keys; i++)
        store_le64(message + sizeof lookup + 8ull * i, first + i);
    return sizeof lookup + 8ull * n_keys;
}

static size_t read_all(struct session *session, uint8_t *out, size_t piece_len)
{
    size_t len = 0;
    for (;;) {
        struct message_piece piece = {0};
        assert_int_equal(session_read(session, piece_len, NULL, &piece, NULL), 0);
        if (piece.len == 0)
            return len;
        assert_true(piece.len <= piece_len);
        memcpy(out + len, piece.data, piece.len);
        len += piece.len;
        blob_unref(piece.blob);
    }
}

static void session__a_written_request_is_read_back_answered(void **state)
{
    struct world *world = *state;
    struct session *session = open_session(world);
    static uint8_t message[1 << 14];
    static uint8_t reply[1 << 18];
    struct fkv_lookup head;
    size_t len = compose(message, 1001, 0);
    static const size_t piece_lens[] = {1 << 20, 1000, 7};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(session_write(session, message, len, NULL), 0);
        size_t got = read_all(session, reply, piece_lens[i]);
        memcpy(&head, reply, sizeof head);
        assert_int_equal(head.error, 0);
        assert_int_equal(head.n_found, N_KEYS);
        assert_int_equal(got, sizeof head + head.body_len);
        assert_int_equal(tag_of(reply + sizeof head, head.values_off, head.stride, 999), 7);
        assert_int_equal(read_all(session, reply, 100), 0);
    }
    assert_int_equal(metric_get(&world->stats->message_bytes), 0);
    session_close(session);
}

static void session__a_long_write_may_come_in_two_pieces(void **state)
{
    struct session *session = open_session(*state);
    uint32_t n_keys = (FKV_MESSAGE_MAX - sizeof(struct fkv_lookup)) / 8;
    uint8_t *message = malloc(FKV_MESSAGE_MAX);
    uint8_t *reply = malloc(64 << 20);
    size_t len = compose(message, n_keys, 0);
    size_t first = FKV_MESSAGE_MAX - 4096;
    store_le64(message + offsetof(struct fkv_lookup, out_len), UINT64_MAX);
    assert_int_equal(session_write(session, message, first, NULL), 0);
    assert_int_equal(read_all(session, reply, 4096), 0); /* nothing to read yet */
    assert_int_equal(session_write(session, message + first, len - first, NULL), 0);
    assert_true(read_all(session, reply, 1 << 20) > n_keys);
    assert_int_equal(load_le32(reply + offsetof(struct fkv_lookup, n_found)), N_KEYS);
    /* A second piece that is too long is refused, and the next request starts afresh. */
    assert_int_equal(session_write(session, message, first, NULL), 0);
    assert_int_equal(session_write(session, message, first, NULL), -EPROTO);
    len = compose(message, 1, 5);
    assert_int_equal(session_write(session, message, len, NULL), 0);
    assert_true(read_all(session, reply, 1 << 20) > 0);
    free(message);
    free(reply);
    session_close(session);
}

static void session__refuses_broken_messages(void **state)
{
    struct session *session = open_session(*state);
    static uint8_t message[FKV_MESSAGE_MAX + 8];
    size_t len = compose(message, 10, 0);
    struct message_piece piece = {0};
    for (size_t cut = 0; cut < len; cut++)
        assert_int_equal(session_write(session, message, cut, NULL), -EPROTO);
    assert_int_equal(session_read(session, 100, NULL, &piece, NULL), 0);
    assert_int_equal(piece.len, 0);
    len = compose(message, (FKV_MESSAGE_MAX - sizeof(struct fkv_lookup)) / 8 + 1, 0);
    assert_int_equal(session_write(session, message, len, NULL), -E2BIG);
    assert_int_equal(session_write(session, message, FKV_MESSAGE_MAX - 64, NULL), -E2BIG);
    session_close(session);
}

static void session__a_body_beyond_the_clients_room_is_enospc(void **state)
{
    struct session *session = open_session(*state);
    uint8_t message[sizeof(struct fkv_lookup) + 800];
    uint8_t reply[1 << 16];
    struct fkv_lookup head;
    size_t len = compose(message, 100, 0);
    store_le64(message + offsetof(struct fkv_lookup, out_len), 100);
    assert_int_equal(session_write(session, message, len, NULL), 0);
    assert_int_equal(read_all(session, reply, sizeof reply), sizeof head);
    memcpy(&head, reply, sizeof head);
    assert_int_equal(head.error, -ENOSPC);
    assert_true(head.body_len > 100);
    session_close(session);
}

static void session__inline_requests_answer_in_place(void **state)
{
    struct session *session = open_session(*state);
    static uint8_t message[FKV_INLINE_MAX];
    static uint8_t reply[FKV_INLINE_MAX];
    size_t len = 0;
    struct fkv_lookup head;
    compose(message, 2, 998);
    assert_int_equal(session_inline(session, message, sizeof message, NULL, reply, &len, NULL), 0);
    memcpy(&head, reply, sizeof head);
    assert_int_equal(head.error, 0);
    assert_int_equal(head.n_found, 2);
    assert_int_equal(len, sizeof head + head.body_len);
    compose(message, 500, 0); /* 500 values of 64 bytes do not fit */
    assert_int_equal(session_inline(session, message, sizeof message, NULL, reply, &len, NULL), 0);
    memcpy(&head, reply, sizeof head);
    assert_int_equal(head.error, -ENOSPC);
    assert_int_equal(len, sizeof head);
    assert_int_equal(session_inline(session, message, 127, NULL, reply, &len, NULL), -EPROTO);
    session_close(session);
}

/* Asks n keys by write and read; what the batch came to, or -errno of the write. */
static int ask_written(struct session *session, uint8_t *memory, uint32_t n_keys)
{
    struct fkv_lookup head;
    size_t len = compose(memory, n_keys, 0);
    store_le64(memory + offsetof(struct fkv_lookup, out_len), UINT64_MAX);
    int ret = session_write(session, memory, len, NULL);
    if (ret)
        return ret;
    read_all(session, memory, 1 << 20);
    memcpy(&head, memory, sizeof head);
    return head.error;
}

/* A user whose replies wait unread has used up that user's share; others ask on, and everybody may
 * ask for little. */
static void session__one_user_cannot_take_all_memory(void **state)
{
    enum { MANY = 100000 };
    struct world *world = *state;
    struct session *greedy = open_session(world);
    struct session *other = open_session_of(world, NULL, 1001);
    struct quota_user *user = quota_join(world->quota, 1000);
    uint8_t *memory = malloc(64 << 20);
    uint64_t share = quota_limit(QUOTA_MESSAGE_BYTES) / QUOTA_SHARES;
    assert_int_equal(ask_written(greedy, memory, MANY), 0);
    assert_int_equal(quota_left(user, QUOTA_MESSAGE_BYTES), share);
    assert_true(quota_take(user, QUOTA_MESSAGE_BYTES, share - (1 << 20)));
    assert_int_equal(ask_written(greedy, memory, MANY), -ENOMEM);
    assert_true(quota_take(user, QUOTA_MESSAGE_BYTES, 1 << 20));
    assert_false(quota_take(user, QUOTA_MESSAGE_BYTES, 1));
    assert_int_equal(ask_written(greedy, memory, MANY), -ENOMEM);
    assert_int_equal(ask_written(greedy, memory, 500), 0);
    assert_int_equal(ask_written(other, memory, MANY), 0);
    quota_change(user, QUOTA_MESSAGE_BYTES, share, 0);
    assert_int_equal(quota_left(user, QUOTA_MESSAGE_BYTES), share);
    session_close(greedy);
    session_close(other);
    quota_leave(user);
    free(memory);
}

static void session__one_user_cannot_take_all_arenas(void **state)
{
    struct world *world = *state;
    struct session *session = open_session(world);
    struct quota_user *user = quota_join(world->quota, 1000);
    struct fkv_attach attach = {FKV_MAGIC, sealed_memfd(8192, F_SEAL_SHRINK), 8192};
    struct err err = {0};
    uint64_t n = quota_left(user, QUOTA_ARENAS);
    assert_int_equal(n, quota_limit(QUOTA_ARENAS) / QUOTA_SHARES);
    assert_true(quota_take(user, QUOTA_ARENAS, n));
    assert_int_equal(session_attach(session, getpid(), &attach, sizeof attach, &err), -EMFILE);
    quota_change(user, QUOTA_ARENAS, n, 0);
    n = quota_left(user, QUOTA_ARENA_BYTES);
    assert_true(quota_take(user, QUOTA_ARENA_BYTES, n - 4096));
    assert_int_equal(session_attach(session, getpid(), &attach, sizeof attach, &err), -ENOSPC);
    struct session *other = open_session_of(world, NULL, 1001);
    assert_int_equal(session_attach(other, getpid(), &attach, sizeof attach, &err), 0);
    quota_change(user, QUOTA_ARENA_BYTES, n - 4096, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(session_attach(session, getpid(), &attach, sizeof attach, &err), 0);
    assert_int_equal(quota_left(user, QUOTA_ARENA_BYTES), n - 8192);
    session_close(session);
    session_close(other);
    assert_int_equal(quota_left(user, QUOTA_ARENA_BYTES), n);
    assert_int_equal(quota_left(user, QUOTA_ARENAS), quota_limit(QUOTA_ARENAS) / QUOTA_SHARES);
    quota_leave(user);
    close(attach.fd);
}

static int32_t error_of(struct session *session, uint32_t flags, uint64_t version)
{
    static uint8_t message[FKV_INLINE_MAX];
    static uint8_t reply[FKV_INLINE_MAX];
    size_t len = 0;
    compose(message, 1, 1);
    store_le32(message + offsetof(struct fkv_lookup, flags), flags);
    store_le64(message + offsetof(struct fkv_lookup, version), version);
    assert_int_equal(session_inline(session, message, sizeof message, NULL, reply, &len, NULL), 0);
    return (int32_t)load_le32(reply + offsetof(struct fkv_lookup, error));
}

static void session__the_version_asked_for_answers_or_nobody(void **state)
{
    struct world *world = *state;
    node_fixture_release_version(&world->fixture, "ads", 8, N_KEYS);
    node_fixture_settle(world->node);
    struct session *follow = open_session(world);
    struct session *pinned = open_session_of(world, table_pin_version(world->table, 1), 1000);
    assert_int_equal(error_of(follow, FKV_WANT_EXACT, 2), 0);
    assert_int_equal(error_of(follow, FKV_WANT_EXACT, 1), 0); /* the previous one is loaded */
    assert_int_equal(error_of(follow, FKV_WANT_EXACT, 3), -ESTALE);
    assert_int_equal(error_of(follow, FKV_WANT_AT_LEAST, 2), 0);
    assert_int_equal(error_of(follow, FKV_WANT_AT_LEAST, 3), -EAGAIN);
    assert_int_equal(error_of(pinned, FKV_WANT_EXACT, 1), 0);
    assert_int_equal(error_of(pinned, FKV_WANT_EXACT, 2), -ESTALE);
    assert_int_equal(error_of(pinned, FKV_WANT_AT_LEAST, 2), -EAGAIN);
    struct fkv_info info;
    session_info(pinned, 99, &info);
    assert_int_equal(info.version, 1);
    assert_int_equal(info.daemon_id, 99);
    assert_int_equal(info.n_keys, N_KEYS);
    session_info(follow, 99, &info);
    assert_int_equal(info.version, 2);
    session_close(pinned);
    session_close(follow);
}

static void stats__count_what_was_answered(void **state)
{
    struct world *world = *state;
    struct session *session = open_session(world);
    assert_int_equal(error_of(session, 0, 0), 0);
    assert_int_equal(error_of(session, FKV_FORM_F32, 0), -ENOTSUP);
    const struct table_stats *stats = stats_find(world->stats, table_index(world->table));
    assert_int_equal(metric_get(&stats->batches), 2);
    assert_int_equal(metric_get(&stats->hits), 1);
    assert_int_equal(metric_get(&stats->errors), 1);
    assert_int_equal(histogram_count(&stats->latency), 2);
    session_close(session);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(session__answers_from_an_arena, setup, teardown),
        cmocka_unit_test_setup_teardown(session__a_new_arena_replaces_the_old, setup, teardown),
        cmocka_unit_test(arena__must_be_a_sealed_memfd_that_is_long_enough),
        cmocka_unit_test(guard__a_page_that_is_gone_ends_the_work_only),
        cmocka_unit_test_setup_teardown(session__a_written_request_is_read_back_answered, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(session__a_long_write_may_come_in_two_pieces, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(session__refuses_broken_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(session__a_body_beyond_the_clients_room_is_enospc, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(session__one_user_cannot_take_all_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(session__one_user_cannot_take_all_arenas, setup, teardown),
        cmocka_unit_test_setup_teardown(session__inline_requests_answer_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(session__the_version_asked_for_answers_or_nobody, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(stats__count_what_was_answered, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
