/* SPDX-License-Identifier: Apache-2.0 */
/* libfkv against a daemon of our own (fake_mount): transports, fallbacks, versions,
 * reconnecting. */
#include "unit.h"

#include "client/batch.h"
#include "client/fkv.h"
#include "client/table.h"
#include "fake_mount.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MS = 1000000 };

/* Generous: only what waits for it on purpose, with a deadline of its own, should ever see it. */
#define TIMEOUT_NS (20000ull * MS)

static char root[] = "/tmp/fkv-test-client-XXXXXX";
static char table_dir[64];
static char version_dir[128];

static int make_dirs(void **state)
{
    char file[256];
    if (!mkdtemp(root))
        return -1;
    snprintf(table_dir, sizeof table_dir, "%s/ads", root);
    snprintf(file, sizeof file, "%s/v", table_dir);
    snprintf(version_dir, sizeof version_dir, "%s/v/7", table_dir);
    mkdir(table_dir, 0700);
    mkdir(file, 0700);
    mkdir(version_dir, 0700);
    snprintf(file, sizeof file, "%s/version.json", version_dir);
    return creat(file, 0600) < 0;
}

static int remove_dirs(void **state)
{
    char file[256];
    snprintf(file, sizeof file, "%s/version.json", version_dir);
    unlink(file);
    rmdir(version_dir);
    snprintf(file, sizeof file, "%s/v", table_dir);
    rmdir(file);
    rmdir(table_dir);
    return rmdir(root);
}

struct fixture {
    fkv_table *table;
    fkv_batch *batch;
};

static int open_at(const char *dir, enum fkv_transport transport, struct fixture *out)
{
    struct fkv_options options = {.transport = transport, .timeout_ns = TIMEOUT_NS};
    struct err err = {0};
    *out = (struct fixture){0};
    int r = table_open(dir, &options, &fake_mount_ops, &out->table, &err);
    return r ? r : fkv_batch_new(out->table, &out->batch);
}

static struct fixture begin(enum fkv_transport transport)
{
    struct fixture f;
    assert_int_equal(open_at(table_dir, transport, &f), 0);
    return f;
}

static void end(struct fixture *f)
{
    fkv_batch_free(f->batch);
    fkv_close(f->table);
    assert_int_equal(fake_mount_n_fds(), 0);
}

static uint64_t *numbers(uint32_t n)
{
    uint64_t *keys = malloc(8 * (size_t)n + 8);
    for (uint32_t i = 0; i < n; i++)
        keys[i] = i;
    return keys;
}

/* Every key's answer is the right one of the version named. */
static void assert_answers(const fkv_result *result, const uint64_t *keys, uint32_t n)
{
    uint8_t expected[FAKE_VALUE_MAX];
    uint32_t n_found = 0;
    assert_int_equal(result->n_keys, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t len = 1234567;
        const void *value = fkv_value(result, i, &len);
        if (!fake_found(keys[i])) {
            assert_null(value);
            assert_int_equal(result->status[i], FKV_ABSENT);
            continue;
        }
        n_found++;
        assert_non_null(value);
        assert_int_equal(len, fake_value(keys[i], result->version, expected));
        assert_memory_equal(value, expected, len);
    }
    assert_int_equal(result->n_found, n_found);
}

static void assert_get(struct fixture *f, uint32_t n, uint64_t version)
{
    uint64_t *keys = numbers(n);
    fkv_result result;
    int r = fkv_get_u64(f->batch, keys, n, NULL, &result);
    if (r)
        print_message("%s\n", fkv_last_error());
    assert_int_equal(r, 0);
    assert_int_equal(result.version, version);
    assert_answers(&result, keys, n);
    free(keys);
}

static void get__answers_the_same_by_every_transport(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2, 63, 64, 65, 1000, 20000};
    for (int transport = FKV_SHARED; transport <= FKV_INLINE; transport++) {
        for (uint32_t elem = FKV_ELEM_BYTES; elem <= FKV_ELEM_F32; elem++) {
            fake_mount_reset();
            fake.elem = elem;
            struct fixture f = begin((enum fkv_transport)transport);
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
                assert_get(&f, sizes[i], 7);
            assert_int_equal(fkv_batch_transport(f.batch), transport);
            end(&f);
        }
    }
}

static void get__bytes_keys_by_every_transport(void **state)
{
    enum { N = 3000 };
    static char texts[N][8];
    static const void *keys[N];
    static uint8_t lens[N];
    static uint64_t ids[N];
    for (uint32_t i = 0; i < N; i++) {
        lens[i] = (uint8_t)snprintf(texts[i], sizeof texts[i], "k%u", i);
        keys[i] = texts[i];
        ids[i] = i;
    }
    for (int transport = FKV_SHARED; transport <= FKV_INLINE; transport++) {
        fake_mount_reset();
        fake.key_type = FKV_KEY_BYTES;
        struct fixture f = begin((enum fkv_transport)transport);
        fkv_result result;
        assert_int_equal(fkv_get_bytes(f.batch, keys, lens, N, NULL, &result), 0);
        assert_answers(&result, ids, N);
        end(&f);
    }
}

static void get__keys_written_in_place_are_not_copied_and_survive_growth(void **state)
{
    enum { N = 200000 }; /* their answer is far larger than the first arena */
    fake_mount_reset();
    struct fixture f = begin(FKV_AUTO);
    uint64_t *keys = fkv_keys_u64(f.batch, N);
    uint64_t *expected = numbers(N);
    memcpy(keys, expected, 8 * (size_t)N);
    fkv_result result;
    assert_int_equal(fkv_get_u64(f.batch, keys, N, NULL, &result), 0);
    assert_answers(&result, expected, N);
    assert_true(fake.n_attach >= 2);
    int n_attach = fake.n_attach;
    assert_get(&f, N, 7);
    assert_int_equal(fake.n_attach, n_attach); /* room enough was kept */
    free(expected);
    end(&f);
}

static void get__in_place_keys_survive_a_restart_and_a_fallback(void **state)
{
    enum { N = 100000 };
    fake_mount_reset();
    struct fixture f = begin(FKV_AUTO);
    uint64_t *keys = fkv_keys_u64(f.batch, N);
    uint64_t *expected = numbers(N);
    memcpy(keys, expected, 8 * (size_t)N);
    fake.lookups_to_restart = 1;
    fake.attach_error = EPERM; /* the new daemon may not share memory */
    fkv_result result;
    assert_int_equal(fkv_get_u64(f.batch, keys, N, NULL, &result), 0);
    assert_answers(&result, expected, N);
    assert_int_equal(fkv_batch_transport(f.batch), FKV_MESSAGE);
    free(expected);
    end(&f);
}

static void transport__falls_back_when_memory_cannot_be_shared(void **state)
{
    static const int refusals[] = {EPERM, ENOTSUP, ENOSYS, ESRCH, EINVAL, ENOTTY, ENOMEM};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        fake_mount_reset();
        fake.attach_error = refusals[i];
        struct fixture f = begin(FKV_AUTO);
        assert_get(&f, 10, 7);
        assert_int_equal(fkv_batch_transport(f.batch), FKV_INLINE);
        assert_get(&f, 20000, 7);
        assert_int_equal(fkv_batch_transport(f.batch), FKV_MESSAGE);
        assert_get(&f, 3, 7);
        assert_int_equal(fkv_batch_transport(f.batch), FKV_INLINE);
        assert_int_equal(fake.n_attach, 1);
        assert_int_equal(fake.n_lookup, 0);
        end(&f);
    }
}

static void transport__falls_back_when_a_larger_arena_is_refused(void **state)
{
    fake_mount_reset();
    fake.attach_max = 1 << 20;
    struct fixture f = begin(FKV_AUTO);
    assert_get(&f, 100, 7);
    assert_int_equal(fkv_batch_transport(f.batch), FKV_SHARED);
    uint64_t *keys = fkv_keys_u64(f.batch, 50000);
    uint64_t *expected = numbers(50000);
    memcpy(keys, expected, 8 * 50000);
    fkv_result result;
    assert_int_equal(fkv_get_u64(f.batch, keys, 50000, NULL, &result), 0);
    assert_answers(&result, expected, 50000);
    assert_int_equal(fkv_batch_transport(f.batch), FKV_MESSAGE);
    free(expected);
    end(&f);
}

static void transport__forced_shared_fails_rather_than_falls_back(void **state)
{
    struct fixture f;
    fake_mount_reset();
    fake.attach_error = EPERM;
    assert_int_equal(open_at(table_dir, FKV_SHARED, &f), -EPERM);
    assert_non_null(strstr(fkv_last_error(), "share memory"));
    fkv_close(f.table);
    assert_int_equal(fake_mount_n_fds(), 0);
}

static void transport__a_table_that_may_only_be_read_still_shares(void **state)
{
    fake_mount_reset();
    fake.read_only = true;
    struct fixture f = begin(FKV_AUTO);
    assert_get(&f, 100, 7);
    assert_int_equal(fkv_batch_transport(f.batch), FKV_SHARED);
    end(&f);
}

static void message__a_batch_in_pieces_comes_from_one_version(void **state)
{
    enum { N = 400000 }; /* 3.2 MB of keys: four messages */
    fake_mount_reset();
    struct fixture f = begin(FKV_MESSAGE);
    fake.lookups_to_switch = 2; /* the switch retires version 7 between two pieces */
    assert_get(&f, N, 8);
    assert_true(fake.n_message >= 2 + 4);
    assert_true(fake.largest_write <= FKV_MESSAGE_MAX);
    end(&f);
}

static void message__an_exact_version_that_goes_is_stale_even_between_pieces(void **state)
{
    enum { N = 400000 };
    fake_mount_reset();
    struct fixture f = begin(FKV_MESSAGE);
    fake.lookups_to_switch = 2;
    uint64_t *keys = numbers(N);
    fkv_result result;
    fkv_ask ask = {.exact_version = 7};
    assert_int_equal(fkv_get_u64(f.batch, keys, N, &ask, &result), -ESTALE);
    free(keys);
    end(&f);
}

static void version__constraints_are_passed_on_and_explained(void **state)
{
    uint64_t key = 1;
    fkv_result result;
    for (int transport = FKV_SHARED; transport <= FKV_INLINE; transport++) {
        fake_mount_reset();
        struct fixture f = begin((enum fkv_transport)transport);
        fkv_ask ask = {.exact_version = 6};
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), 0);
        assert_int_equal(result.version, 6);
        ask.exact_version = 5;
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -ESTALE);
        assert_non_null(strstr(fkv_last_error(), "version 5 is not served here; 7 is current"));
        ask = (fkv_ask){.at_least_version = 7};
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), 0);
        ask.at_least_version = 8;
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -EAGAIN);
        ask.exact_version = 7;
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -EINVAL);
        end(&f);
    }
}

static void version__each_batch_follows_the_switch(void **state)
{
    fake_mount_reset();
    struct fixture f = begin(FKV_AUTO);
    assert_get(&f, 100, 7);
    fake.current = 8;
    assert_get(&f, 100, 8);
    fake.current = 7;
    assert_get(&f, 100, 7);
    end(&f);
}

static void version__a_table_that_was_closed_since_is_opened_again_once(void **state)
{
    uint64_t key = 1;
    fkv_result result;
    for (int transport = FKV_SHARED; transport <= FKV_INLINE; transport++) {
        fake_mount_reset();
        struct fixture f = begin((enum fkv_transport)transport);
        fake.closes = true;
        assert_get(&f, 100, 7);
        int n_open = fake.n_open;
        fake.current = 8;
        assert_get(&f, 100, 8);
        assert_int_equal(fake.n_open, n_open + 1);
        fake.reply_error = -EACCES;
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, NULL, &result), -EACCES);
        assert_int_equal(fake.n_open, n_open + 2);
        end(&f);
    }
}

static void message__a_version_that_closes_between_pieces_begins_anew(void **state)
{
    enum { N = 400000 };
    fake_mount_reset();
    struct fixture f = begin(FKV_MESSAGE);
    fake.closes = true;
    fake.lookups_to_switch = 2;
    assert_get(&f, N, 8);
    end(&f);
}

static void pinned__stays_on_its_version(void **state)
{
    fake_mount_reset();
    struct fixture f;
    assert_int_equal(open_at(version_dir, FKV_AUTO, &f), 0);
    fake.current = 8;
    assert_get(&f, 100, 7);
    fkv_shape shape;
    assert_int_equal(fkv_get_shape(f.table, &shape), 0);
    assert_int_equal(shape.version, 7);
    uint64_t key = 1;
    fkv_result result;
    fkv_ask ask = {.exact_version = 8};
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -ESTALE);
    ask = (fkv_ask){.at_least_version = 8};
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -EAGAIN);
    end(&f);
}

static void pinned__comes_back_to_its_version_after_a_restart(void **state)
{
    fake_mount_reset();
    struct fixture f;
    assert_int_equal(open_at(version_dir, FKV_AUTO, &f), 0);
    fake.current = 8;
    fake.lookups_to_restart = 1;
    assert_get(&f, 100, 7);
    end(&f);
}

static void pinned__is_stale_when_the_restarted_daemon_lacks_the_version(void **state)
{
    fake_mount_reset();
    struct fixture f;
    assert_int_equal(open_at(version_dir, FKV_AUTO, &f), 0);
    fake.current = 9;
    fake.oldest = 8;
    fake_mount_restart();
    uint64_t key = 1;
    fkv_result result;
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, NULL, &result), -ESTALE);
    assert_non_null(strstr(fkv_last_error(), "version 7 is no longer served"));
    end(&f);
}

static void reconnect__every_way_of_losing_the_daemon_is_survived(void **state)
{
    static const int losses[] = {ENOTCONN, ECONNABORTED, ENODEV, EIO, ESHUTDOWN, EINTR};
    for (int transport = FKV_AUTO; transport <= FKV_INLINE; transport++) {
        for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
            fake_mount_reset();
            struct fixture f = begin((enum fkv_transport)transport);
            assert_get(&f, 50, 7);
            fake.call_error = losses[i];
            fake.n_call_errors = 2;
            assert_get(&f, 50, 7);
            fake_mount_restart();
            assert_get(&f, 50, 7);
            end(&f);
        }
    }
}

static void reconnect__gives_up_at_the_deadline(void **state)
{
    fake_mount_reset();
    struct fixture f = begin(FKV_AUTO);
    fake.lookups_to_restart = 1;
    fake.gone_after = true;
    uint64_t key = 1;
    fkv_result result;
    uint64_t start = channel_now_ns();
    fkv_ask ask = {.deadline_ns = start + 30 * MS};
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -ENOTCONN);
    uint64_t took = channel_now_ns() - start;
    assert_true(took >= 29 * MS && took < 250 * MS);
    assert_non_null(strstr(fkv_last_error(), "no fkvd answered in time"));
    fake.open_error = 0;
    assert_get(&f, 10, 7); /* and works again when the daemon is back */
    end(&f);
}

static void deadline__passed_before_the_call_asks_nobody(void **state)
{
    fake_mount_reset();
    struct fixture f = begin(FKV_AUTO);
    uint64_t key = 1;
    fkv_result result;
    fkv_ask ask = {.deadline_ns = 1};
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -ETIMEDOUT);
    assert_int_equal(fake.n_lookup, 0);
    end(&f);
}

static void deadline__travels_with_the_request(void **state)
{
    fake_mount_reset();
    struct fixture f = begin(FKV_AUTO);
    uint64_t before = channel_now_ns();
    assert_get(&f, 1, 7);
    assert_true(fake.last_deadline_ns >= before + TIMEOUT_NS);
    uint64_t key = 1;
    fkv_result result;
    fkv_ask ask = {.deadline_ns = before + 12345ull * MS};
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), 0);
    assert_true(fake.last_deadline_ns == ask.deadline_ns);
    end(&f);
}

static void refusal__is_told_in_words(void **state)
{
    uint64_t key = 1;
    fkv_result result;
    fake_mount_reset();
    struct fixture f = begin(FKV_AUTO);
    fkv_ask ask = {.as_f32 = 1};
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -ENOTSUP);
    assert_non_null(strstr(fkv_last_error(), "not vectors"));
    fake.key_type = FKV_KEY_BYTES;
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, NULL, &result), -EINVAL);
    assert_non_null(strstr(fkv_last_error(), "use fkv_get_bytes()"));
    fake.key_type = FKV_KEY_U64;
    fake.current = 0;
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, NULL, &result), -ENOENT);
    assert_non_null(strstr(fkv_last_error(), "no current version"));
    fake.current = 7;
    fake.reply_error = -ETIMEDOUT;
    assert_int_equal(fkv_get_u64(f.batch, &key, 1, NULL, &result), -ETIMEDOUT);
    end(&f);
}

static void reply__forged_ones_are_refused(void **state)
{
    uint64_t key = 1;
    fkv_result result;
    for (int transport = FKV_SHARED; transport <= FKV_INLINE; transport++) {
        fake_mount_reset();
        fake.elem = FKV_ELEM_F32;
        struct fixture f = begin((enum fkv_transport)transport);
        fake.forge_stride = true;
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, NULL, &result), -EPROTO);
        fake.forge_stride = false;
        fake.forge_served = true;
        fkv_ask ask = {.exact_version = 7};
        assert_int_equal(fkv_get_u64(f.batch, &key, 1, &ask, &result), -EPROTO);
        end(&f);
    }
}

static void value__a_loc_outside_the_values_reads_as_nothing(void **state)
{
    const uint8_t status[] = {FKV_FOUND, FKV_FOUND};
    const uint32_t locs[] = {1, 8, 2, 1};
    const uint64_t values[2] = {1, 2};
    fkv_result result = {.n_keys = 2,
                         .status = status,
                         .locs = (const uint8_t *)locs,
                         .values = (const uint8_t *)values,
                         .values_len = sizeof values};
    uint32_t len = 0;
    assert_ptr_equal(fkv_value(&result, 0, &len), &values[1]);
    assert_int_equal(len, 8);
    assert_null(fkv_value(&result, 1, &len));
}

static void matrix__rows_are_filled_at_their_stride_and_absent_ones_are_zero(void **state)
{
    enum { N = 500, STRIDE = FAKE_DIM + 3 };
    static float matrix[N][STRIDE];
    static uint8_t status[N];
    for (int transport = FKV_SHARED; transport <= FKV_INLINE; transport++) {
        fake_mount_reset();
        fake.elem = FKV_ELEM_F32;
        struct fixture f = begin((enum fkv_transport)transport);
        uint64_t *keys = numbers(N);
        uint64_t version = 0;
        memset(matrix, 0x7f, sizeof matrix);
        float untouched = matrix[0][FAKE_DIM];
        assert_int_equal(fkv_get_matrix_u64(f.batch, keys, N, FAKE_DIM, matrix[0], STRIDE, status,
                                            NULL, &version),
                         0);
        assert_int_equal(version, 7);
        for (uint32_t i = 0; i < N; i++) {
            assert_int_equal(status[i], fake_found(i) ? FKV_FOUND : FKV_ABSENT);
            for (uint32_t j = 0; j < FAKE_DIM; j++)
                assert_true(matrix[i][j] == (fake_found(i) ? fake_element(i, 7, j) : 0));
            assert_memory_equal(&matrix[i][FAKE_DIM], &untouched, sizeof untouched);
        }
        free(keys);
        end(&f);
    }
}

static void matrix__of_another_width_is_refused(void **state)
{
    uint64_t key = 1;
    float row[64] = {0};
    fake_mount_reset();
    fake.elem = FKV_ELEM_F32;
    struct fixture f = begin(FKV_AUTO);
    assert_int_equal(fkv_get_matrix_u64(f.batch, &key, 1, 6, row, 64, NULL, NULL, NULL), -EINVAL);
    assert_non_null(strstr(fkv_last_error(), "vectors of 5 elements, the matrix 6"));
    assert_int_equal(fkv_get_matrix_u64(f.batch, &key, 1, 6, row, 5, NULL, NULL, NULL), -EINVAL);
    assert_int_equal(fkv_get_matrix_u64(f.batch, &key, 1, 0, row, 5, NULL, NULL, NULL), -EINVAL);
    end(&f);
}

static void open__says_what_is_wrong(void **state)
{
    struct fixture f;
    struct err err = {0};
    fake_mount_reset();
    assert_int_equal(open_at("/nowhere/ads", FKV_AUTO, &f), -ENOENT);
    assert_int_equal(fkv_open("/nowhere/ads", NULL, &f.table), -ENOENT);
    assert_non_null(strstr(fkv_last_error(), "/nowhere/ads"));
    assert_int_equal(fkv_open(root, NULL, &f.table), -ENOENT); /* a directory, but no table */
    assert_int_equal(open_at(table_dir, (enum fkv_transport)9, &f), -EINVAL);
    fake.wrong_protocol = true;
    assert_int_equal(table_open(table_dir, NULL, &fake_mount_ops, &f.table, &err), -EPROTO);
    assert_non_null(strstr(err.text, "protocol 9"));
    fake.wrong_protocol = false;
    fake.open_error = ENOTCONN;
    const struct fkv_options hasty = {.timeout_ns = 30 * MS};
    assert_int_equal(table_open(table_dir, &hasty, &fake_mount_ops, &f.table, &err), -ENOTCONN);
    assert_int_equal(fake_mount_n_fds(), 0);
}

static void open__an_ordinary_file_is_no_lookup_file(void **state)
{
    char file[256];
    fkv_table *table;
    snprintf(file, sizeof file, "%s/batch", table_dir);
    close(creat(file, 0600));
    assert_int_equal(fkv_open(table_dir, NULL, &table), -EINVAL);
    assert_non_null(strstr(fkv_last_error(), "not a lookup file"));
    unlink(file);
}

static void shape__tells_what_the_table_is(void **state)
{
    fake_mount_reset();
    fake.elem = FKV_ELEM_F32;
    struct fixture f = begin(FKV_AUTO);
    fkv_shape shape;
    assert_int_equal(fkv_get_shape(f.table, &shape), 0);
    assert_int_equal(shape.version, 7);
    assert_int_equal(shape.key_type, FKV_TYPE_U64);
    assert_int_equal(shape.dim, FAKE_DIM);
    assert_string_equal(shape.elem, "f32");
    end(&f);
}

static void close__accepts_nothing(void **state)
{
    fkv_batch_free(NULL);
    fkv_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get__answers_the_same_by_every_transport),
        cmocka_unit_test(get__bytes_keys_by_every_transport),
        cmocka_unit_test(get__keys_written_in_place_are_not_copied_and_survive_growth),
        cmocka_unit_test(get__in_place_keys_survive_a_restart_and_a_fallback),
        cmocka_unit_test(transport__falls_back_when_memory_cannot_be_shared),
        cmocka_unit_test(transport__falls_back_when_a_larger_arena_is_refused),
        cmocka_unit_test(transport__forced_shared_fails_rather_than_falls_back),
        cmocka_unit_test(transport__a_table_that_may_only_be_read_still_shares),
        cmocka_unit_test(message__a_batch_in_pieces_comes_from_one_version),
        cmocka_unit_test(message__an_exact_version_that_goes_is_stale_even_between_pieces),
        cmocka_unit_test(version__constraints_are_passed_on_and_explained),
        cmocka_unit_test(version__each_batch_follows_the_switch),
        cmocka_unit_test(version__a_table_that_was_closed_since_is_opened_again_once),
        cmocka_unit_test(message__a_version_that_closes_between_pieces_begins_anew),
        cmocka_unit_test(pinned__stays_on_its_version),
        cmocka_unit_test(pinned__comes_back_to_its_version_after_a_restart),
        cmocka_unit_test(pinned__is_stale_when_the_restarted_daemon_lacks_the_version),
        cmocka_unit_test(reconnect__every_way_of_losing_the_daemon_is_survived),
        cmocka_unit_test(reconnect__gives_up_at_the_deadline),
        cmocka_unit_test(deadline__passed_before_the_call_asks_nobody),
        cmocka_unit_test(deadline__travels_with_the_request),
        cmocka_unit_test(refusal__is_told_in_words),
        cmocka_unit_test(reply__forged_ones_are_refused),
        cmocka_unit_test(value__a_loc_outside_the_values_reads_as_nothing),
        cmocka_unit_test(matrix__rows_are_filled_at_their_stride_and_absent_ones_are_zero),
        cmocka_unit_test(matrix__of_another_width_is_refused),
        cmocka_unit_test(open__says_what_is_wrong),
        cmocka_unit_test(open__an_ordinary_file_is_no_lookup_file),
        cmocka_unit_test(shape__tells_what_the_table_is),
        cmocka_unit_test(close__accepts_nothing),
    };
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
