/* SPDX-License-Identifier: Apache-2.0 */
/* One open lookup file of a table on disk, on a real node: what cannot wait says so and changes
 * nothing, what can answers, and nobody waits for a lock meanwhile. */
#include "unit.h"

#include "base/bytes.h"
#include "base/scope.h"
#include "fuse/guard.h"
#include "fuse/kept.h"
#include "fuse/session.h"
#include "node_fixture.h"
#include "query/disk_worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { ARENA = 1 << 20, OUT = 1 << 16, N_KEYS = 1000, TAG = 7, REPLY_MAX = 1 << 18 };

struct world {
    struct node_fixture fixture;
    struct node *node;
    struct table *table;
    struct stats *stats;
    struct quota *quota;
    struct answer_disk disk;
};

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int setup_kind(void **state, enum table_kind kind)
{
    struct world *world = calloc(1, sizeof *world);
    const struct build build = {.tag = TAG, .n_keys = N_KEYS, .kind = kind};
    struct err err = {0};
    node_fixture_init(&world->fixture);
    uint64_t version = node_fixture_publish(&world->fixture, "ads", &build);
    node_fixture_activate(&world->fixture, "ads", version, 0);
    assert_int_equal(node_fixture_open(&world->fixture, "cache", 0, &world->node, &err), 0);
    node_fixture_settle(world->node);
    world->table = node_table_find(world->node, "ads");
    assert_non_null(world->table);
    assert_int_equal(stats_new(&world->stats), 0);
    assert_int_equal(quota_new(&world->quota), 0);
    assert_int_equal(disk_worker_new(0, &world->disk.worker, &err), 0);
    world->disk.since_ns = now_ns();
    *state = world;
    return 0;
}

static int setup_blk(void **state)
{
    return setup_kind(state, KIND_BLK);
}

static int setup_idx(void **state)
{
    return setup_kind(state, KIND_IDX);
}

static int teardown(void **state)
{
    struct world *world = *state;
    disk_worker_free(world->disk.worker);
    node_close(world->node);
    node_fixture_release(&world->fixture);
    stats_free(world->stats);
    quota_free(world->quota);
    free(world);
    return 0;
}

static struct session *open_session(struct world *world)
{
    struct session *session = NULL;
    struct quota_user *user = quota_join(world->quota, 1000);
    assert_non_null(user);
    assert_int_equal(session_open(world->table, NULL, world->stats, user, &session), 0);
    return session;
}

static const struct table_stats *counts(const struct world *world)
{
    return stats_find(world->stats, table_index(world->table));
}

/* Request and keys first, first + 1, … in one message; returns its length. */
static size_t compose(uint8_t *message, uint32_t n_keys, uint64_t first)
{
    const struct fkv_lookup lookup = {
        .magic = FKV_MAGIC,
        .n_keys = n_keys,
        .key_type = FKV_KEY_U64,
        .keys_off = sizeof lookup,
        .keys_len = 8ull * n_keys,
        .out_len = UINT64_MAX,
    };
    memcpy(message, &lookup, sizeof lookup);
    for (uint32_t i = 0; i < n_keys; i++)
        store_le64(message + sizeof lookup + 8ull * i, first + i);
    return sizeof lookup + 8ull * n_keys;
}

/* The tag that the fixture wrote into a value. */
static uint32_t tag_of(const uint8_t *body, const struct fkv_lookup *head, uint32_t i)
{
    return load_le32(body + head->values_off + (uint64_t)head->stride * i + 4);
}

struct arena_file {
    int fd;
    uint8_t *data;
};

static struct arena_file attach_arena(struct session *session)
{
    struct arena_file arena = {.fd = memfd_create("arena", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
    assert_true(arena.fd >= 0);
    assert_int_equal(posix_fallocate(arena.fd, 0, ARENA), 0);
    assert_int_equal(fcntl(arena.fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    arena.data = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, arena.fd, 0);
    const struct fkv_attach attach = {FKV_MAGIC, arena.fd, ARENA};
    assert_int_equal(session_attach(session, getpid(), &attach, sizeof attach, NULL), 0);
    return arena;
}

static void close_arena(struct arena_file *arena)
{
    munmap(arena->data, ARENA);
    close(arena->fd);
}

static struct fkv_lookup compose_in(const struct arena_file *arena, uint32_t n_keys, uint64_t first)
{
    struct fkv_lookup lookup;
    compose(arena->data, n_keys, first);
    memcpy(&lookup, arena->data, sizeof lookup);
    lookup.out_off = OUT;
    lookup.out_len = ARENA - OUT;
    return lookup;
}

static void session__an_arena_is_answered_into_from_disk(void **state)
{
    struct world *world = *state;
    struct session *session = open_session(world);
    struct arena_file arena = attach_arena(session);
    const struct fkv_lookup ask = compose_in(&arena, 3, N_KEYS - 2);
    struct fkv_lookup head;
    memset(arena.data + OUT, 0xee, 64);
    assert_int_equal(session_lookup(session, &ask, sizeof ask, NULL, &head, NULL), DISK_NEEDED);
    assert_int_equal(arena.data[OUT], 0xee);
    assert_int_equal(metric_get(&counts(world)->batches), 0);
    assert_int_equal(session_lookup(session, &ask, sizeof ask, &world->disk, &head, NULL), 0);
    assert_int_equal(head.error, 0);
    assert_int_equal(head.n_found, 2);
    assert_memory_equal(arena.data + OUT, "\0\0\1", 3);
    assert_int_equal(tag_of(arena.data + OUT, &head, 1), TAG);
    assert_int_equal(metric_get(&counts(world)->batches), 1);
    assert_int_equal(metric_get(&counts(world)->disk_batches), 1);
    assert_int_equal(metric_get(&counts(world)->misses), 1);
    session_close(session);
    close_arena(&arena);
}

static void session__an_inline_request_is_answered_from_disk(void **state)
{
    struct world *world = *state;
    static uint8_t message[FKV_INLINE_MAX];
    static uint8_t reply[FKV_INLINE_MAX];
    struct session *session = open_session(world);
    struct fkv_lookup head;
    size_t len = 0;
    compose(message, 2, 5);
    assert_int_equal(session_inline(session, message, sizeof message, NULL, reply, &len, NULL),
                     DISK_NEEDED);
    assert_int_equal(len, 0);
    assert_int_equal(
        session_inline(session, message, sizeof message, &world->disk, reply, &len, NULL), 0);
    memcpy(&head, reply, sizeof head);
    assert_int_equal(head.error, 0);
    assert_int_equal(head.n_found, 2);
    assert_int_equal(tag_of(reply + sizeof head, &head, 1), TAG);
    session_close(session);
}

/* Reads what is left; the first piece is asked for twice, as the daemon does. */
static size_t read_all(struct world *world, struct session *session, uint8_t *out, size_t piece_len)
{
    size_t len = 0;
    for (;;) {
        struct message_piece piece = {0};
        int ret = session_read(session, piece_len, NULL, &piece, NULL);
        if (ret == DISK_NEEDED)
            ret = session_read(session, piece_len, &world->disk, &piece, NULL);
        assert_int_equal(ret, 0);
        if (piece.len == 0)
            return len;
        memcpy(out + len, piece.data, piece.len);
        len += piece.len;
        blob_unref(piece.blob);
    }
}

static void session__a_written_request_is_answered_from_disk(void **state)
{
    struct world *world = *state;
    static uint8_t message[1 << 14];
    static uint8_t reply[REPLY_MAX];
    struct session *session = open_session(world);
    struct message_piece piece = {0};
    struct fkv_lookup head;
    size_t len = compose(message, N_KEYS + 1, 0);
    assert_int_equal(session_write(session, message, len, NULL), 0);
    for (int i = 0; i < 3; i++) /* it stays asked until somebody can wait */
        assert_int_equal(session_read(session, 100, NULL, &piece, NULL), DISK_NEEDED);
    assert_null(piece.blob);
    size_t got = read_all(world, session, reply, 1000);
    memcpy(&head, reply, sizeof head);
    assert_int_equal(head.error, 0);
    assert_int_equal(head.n_found, N_KEYS);
    assert_int_equal(got, sizeof head + head.body_len);
    assert_int_equal(tag_of(reply + sizeof head, &head, 999), TAG);
    assert_int_equal(read_all(world, session, reply, 100), 0);
    assert_int_equal(metric_get(&world->stats->message_bytes), 0);
    session_close(session);
}

/* What a reply takes is charged, and no more than it needs once it is there. */
static void session__a_written_request_takes_what_its_user_has_left(void **state)
{
    struct world *world = *state;
    static uint8_t message[1 << 14];
    struct session *session = open_session(world);
    struct quota_user *user = quota_join(world->quota, 1000);
    struct message_piece piece = {0};
    uint64_t left = quota_left(user, QUOTA_MESSAGE_BYTES);
    struct fkv_lookup head;
    size_t len = compose(message, N_KEYS + 500, 0); /* a body of 98 KB, a first try of 450 KB */
    assert_int_equal(session_write(session, message, len, NULL), 0);
    assert_int_equal(session_read(session, 100, &world->disk, &piece, NULL), 0);
    blob_unref(piece.blob);
    assert_in_range(left - quota_left(user, QUOTA_MESSAGE_BYTES), 97 * N_KEYS, 99 * N_KEYS + len);
    assert_int_equal(session_write(session, message, len, NULL), 0);
    uint64_t others = quota_left(user, QUOTA_MESSAGE_BYTES);
    assert_true(quota_take(user, QUOTA_MESSAGE_BYTES, others));
    assert_int_equal(session_read(session, sizeof head, &world->disk, &piece, NULL), 0);
    memcpy(&head, piece.data, sizeof head);
    blob_unref(piece.blob);
    assert_int_equal(head.error, -ENOMEM);
    quota_change(user, QUOTA_MESSAGE_BYTES, others, 0);
    assert_int_equal(session_write(session, message, len, NULL), 0);
    assert_int_equal(session_read(session, sizeof head, &world->disk, &piece, NULL), 0);
    memcpy(&head, piece.data, sizeof head);
    blob_unref(piece.blob);
    assert_int_equal(head.error, 0);
    session_close(session);
    assert_int_equal(quota_left(user, QUOTA_MESSAGE_BYTES), left);
    assert_int_equal(metric_get(&world->stats->message_bytes), 0);
    quota_leave(user);
}

static void session__a_deadline_counts_the_time_spent_waiting(void **state)
{
    struct world *world = *state;
    static uint8_t message[FKV_INLINE_MAX];
    static uint8_t reply[FKV_INLINE_MAX];
    struct session *session = open_session(world);
    size_t len = 0;
    compose(message, 2, 5);
    store_le64(message + offsetof(struct fkv_lookup, deadline_ns), now_ns() + 1000000);
    nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* in the queue, say */
    assert_int_equal(
        session_inline(session, message, sizeof message, &world->disk, reply, &len, NULL), 0);
    assert_int_equal((int32_t)load_le32(reply + offsetof(struct fkv_lookup, error)), -ETIMEDOUT);
    assert_true(histogram_quantile_ns(&counts(world)->latency, 1) >= 2000000);
    session_close(session);
}

static void session__info_tells_of_a_table_on_disk(void **state)
{
    struct world *world = *state;
    struct session *session = open_session(world);
    struct fkv_info info;
    session_info(session, 1, &info);
    assert_int_equal(info.version, 1);
    assert_int_equal(info.n_keys, N_KEYS);
    assert_int_equal(info.key_type, FKV_KEY_U64);
    assert_int_equal(info.value_len, 64);
    session_close(session);
}

/* Several threads use one file as no program should: whatever they get, nothing breaks. */
struct rush {
    struct world *world;
    struct session *session;
    atomic_bool stop;
    atomic_uint n_answered;
};

static void *rush_read(void *context)
{
    struct rush *rush = context;
    struct answer_disk disk = {.since_ns = now_ns()};
    assert_int_equal(disk_worker_new(16, &disk.worker, NULL), 0);
    while (!atomic_load(&rush->stop)) {
        struct message_piece piece = {0};
        int ret = session_read(rush->session, 1 << 20, NULL, &piece, NULL);
        if (ret == DISK_NEEDED)
            ret = session_read(rush->session, 1 << 20, &disk, &piece, NULL);
        assert_true(ret == 0 || ret == -EBUSY || ret == -ECANCELED);
        if (piece.len)
            atomic_fetch_add(&rush->n_answered, 1);
        blob_unref(piece.blob);
    }
    disk_worker_free(disk.worker);
    return NULL;
}

static void session__reads_and_writes_of_many_threads_break_nothing(void **state)
{
    enum { N_READERS = 3, N_WRITES = 300 };
    struct world *world = *state;
    struct rush rush = {.world = world, .session = open_session(world)};
    pthread_t readers[N_READERS];
    static uint8_t message[1 << 12];
    size_t len = compose(message, 100, 0);
    for (int i = 0; i < N_READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, rush_read, &rush), 0);
    for (int i = 0; i < N_WRITES || !atomic_load(&rush.n_answered); i++) {
        assert_int_equal(session_write(rush.session, message, len, NULL), 0);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    atomic_store(&rush.stop, true);
    for (int i = 0; i < N_READERS; i++)
        pthread_join(readers[i], NULL);
    session_close(rush.session);
    assert_int_equal(metric_get(&world->stats->message_bytes), 0);
}

static void session__a_scan_of_a_table_without_order_is_refused(void **state)
{
    struct world *world = *state;
    static uint8_t message[FKV_INLINE_MAX];
    static uint8_t reply[FKV_INLINE_MAX];
    struct session *session = open_session(world);
    size_t len = 0;
    compose(message, 2, 0); /* two bounds, two records at most */
    store_le32(message + offsetof(struct fkv_lookup, flags), FKV_SCAN);
    assert_int_equal(session_inline(session, message, sizeof message, NULL, reply, &len, NULL), 0);
    assert_int_equal((int32_t)load_le32(reply + offsetof(struct fkv_lookup, error)), -ENOTSUP);
    session_close(session);
}

static void session__a_scan_gives_records_and_tells_of_more(void **state)
{
    struct world *world = *state;
    static uint8_t message[FKV_INLINE_MAX];
    static uint8_t reply[FKV_INLINE_MAX];
    struct session *session = open_session(world);
    struct fkv_lookup head;
    size_t len = 0;
    compose(message, 2, 10); /* from key 10 */
    store_le64(message + sizeof head + 8, 20);
    store_le32(message + offsetof(struct fkv_lookup, flags), FKV_SCAN);
    store_le32(message + offsetof(struct fkv_lookup, n_keys), 4);
    assert_int_equal(session_inline(session, message, sizeof message, NULL, reply, &len, NULL),
                     DISK_NEEDED);
    for (uint32_t most = 4; most <= 12; most += 8) {
        const uint8_t *record = reply + sizeof head;
        store_le32(message + offsetof(struct fkv_lookup, n_keys), most);
        assert_int_equal(
            session_inline(session, message, sizeof message, &world->disk, reply, &len, NULL), 0);
        memcpy(&head, reply, sizeof head);
        assert_int_equal(head.error, 0);
        assert_int_equal(head.n_found, most < 10 ? most : 10);
        assert_int_equal(head.has_more, most < 10);
        for (uint32_t i = 0; i < head.n_found; i++, record += 8 + 8 + 64) {
            assert_int_equal(load_le32(record), 64);
            assert_int_equal(load_le64(record + 8), 10 + i);
            assert_int_equal(load_le64(record + 16), (uint64_t)TAG << 32 | (10 + i));
        }
    }
    assert_int_equal(metric_get(&counts(world)->keys), 14);
    assert_int_equal(metric_get(&counts(world)->hits), 14);
    assert_int_equal(metric_get(&counts(world)->misses), 0);
    session_close(session);
}

/* The first page can be touched, those behind it cannot: a batch ends in its middle. */
static void answer__a_page_that_is_gone_ends_the_batch_only(void **state)
{
    struct world *world = *state;
    struct session *session = open_session(world); /* makes the table's counts */
    const struct answer_source source = {
        .table = world->table,
        .stats = stats_table(world->stats, table_index(world->table)),
        .opened_under = answer_access_now(world->table),
    };
    const struct wire_request request = {
        .n_keys = N_KEYS, .key_type = FKV_KEY_U64, .keys_len = 8ull * N_KEYS};
    struct wire_reply reply;
    int fd = memfd_create("shrinks", MFD_CLOEXEC);
    assert_int_equal(guard_install(), 0); /* cmocka has put its own handler there */
    assert_int_equal(ftruncate(fd, ARENA), 0);
    uint8_t *data = mmap(NULL, ARENA, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    uint8_t *keys = calloc(N_KEYS, 8);
    for (uint32_t i = 0; i < N_KEYS; i++)
        store_le64(keys + 8ull * i, i);
    const struct answer_space space = {
        .keys = keys, .out = data, .out_cap = ARENA, .guard = data, .guard_len = ARENA};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ftruncate(fd, 4096), 0);
        answer_batch(&source, &request, &space, &world->disk, &reply);
        assert_int_equal(reply.error, -EFAULT);
        assert_int_equal(ftruncate(fd, ARENA), 0);
        answer_batch(&source, &request, &space, &world->disk, &reply);
        assert_int_equal(reply.error, 0);
        assert_int_equal(reply.n_found, N_KEYS);
    }
    munmap(data, ARENA);
    close(fd);
    free(keys);
    session_close(session);
}

static void kept__long_values_are_kept_while_the_user_may(void **state)
{
    struct world *world = *state;
    struct version *version = table_pin_current(world->table);
    struct quota_user *user = quota_join(world->quota, 1000);
    uint64_t left = quota_left(user, QUOTA_MESSAGE_BYTES);
    struct file_key key;
    struct kept *kept = NULL;
    struct buf made = {0};
    const struct buf *value = NULL;
    uint64_t len = 0;
    assert_true(value_is_on_disk(version));
    assert_int_equal(value_key_of(version, "5", &key), 0);
    assert_int_equal(value_find_len(version, &key, NULL, &len), DISK_NEEDED);
    assert_int_equal(value_find_len(version, &key, world->disk.worker, &len), 0);
    assert_int_equal(len, 64);
    assert_int_equal(kept_new(version, &key, len, quota_join(world->quota, 1000), &kept), 0);
    assert_int_equal(kept_read(kept, 64, 0, NULL, &made, &value), DISK_NEEDED);
    assert_int_equal(kept_read(kept, 64, 0, world->disk.worker, &made, &value), 0);
    assert_ptr_equal(value, &made); /* all of it was asked for: there will be no second read */
    assert_int_equal(load_le64(value->data), (uint64_t)TAG << 32 | 5);
    assert_int_equal(quota_left(user, QUOTA_MESSAGE_BYTES), left);
    assert_true(quota_take(user, QUOTA_MESSAGE_BYTES, left));
    assert_int_equal(kept_read(kept, 32, 0, world->disk.worker, &made, &value), 0);
    assert_ptr_equal(value, &made); /* nothing may be kept */
    quota_change(user, QUOTA_MESSAGE_BYTES, left, 0);
    assert_int_equal(kept_read(kept, 32, 0, world->disk.worker, &made, &value), 0);
    assert_ptr_not_equal(value, &made);
    assert_true(quota_left(user, QUOTA_MESSAGE_BYTES) < left);
    assert_int_equal(kept_read(kept, 32, 32, NULL, &made, &value), 0); /* without a disk */
    assert_int_equal(value->len, 64);
    buf_release(&made);
    kept_free(kept);
    assert_int_equal(quota_left(user, QUOTA_MESSAGE_BYTES), left);
    assert_int_equal(value_key_of(version, "4000", &key), 0);
    assert_int_equal(value_find_len(version, &key, world->disk.worker, &len), -ENOENT);
    quota_leave(user);
    version_unpin(version);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(session__an_arena_is_answered_into_from_disk, setup_blk,
                                        teardown),
        cmocka_unit_test_setup_teardown(session__an_inline_request_is_answered_from_disk, setup_idx,
                                        teardown),
        cmocka_unit_test_setup_teardown(session__a_written_request_is_answered_from_disk, setup_blk,
                                        teardown),
        cmocka_unit_test_setup_teardown(session__a_written_request_takes_what_its_user_has_left,
                                        setup_blk, teardown),
        cmocka_unit_test_setup_teardown(session__a_deadline_counts_the_time_spent_waiting,
                                        setup_blk, teardown),
        cmocka_unit_test_setup_teardown(session__info_tells_of_a_table_on_disk, setup_idx,
                                        teardown),
        cmocka_unit_test_setup_teardown(session__reads_and_writes_of_many_threads_break_nothing,
                                        setup_blk, teardown),
        cmocka_unit_test_setup_teardown(session__a_scan_of_a_table_without_order_is_refused,
                                        setup_blk, teardown),
        cmocka_unit_test_setup_teardown(session__a_scan_gives_records_and_tells_of_more, setup_idx,
                                        teardown),
        cmocka_unit_test_setup_teardown(answer__a_page_that_is_gone_ends_the_batch_only, setup_blk,
                                        teardown),
        cmocka_unit_test_setup_teardown(kept__long_values_are_kept_while_the_user_may, setup_blk,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
