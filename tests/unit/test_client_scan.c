/* SPDX-License-Identifier: Apache-2.0 */
/* libfkv's scans against a daemon of our own (fake_mount): pieces, ranges, one version, nonsense. */
#include "unit.h"

#include "client/fkv.h"
#include "client/scan_range.h"
#include "client/table.h"
#include "fake_mount.h"
#include "wire/request.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[] = "/tmp/fkv-test-scan-XXXXXX";
static char table_dir[64];
static char version_dir[128];

enum { FIRST = 6, LAST = 8, N_KEYS = 1000 };

/* Directories of the versions that the fake mount may serve. */
static int make_dirs(void **state)
{
    char file[256];
    if (!mkdtemp(root))
        return -1;
    snprintf(table_dir, sizeof table_dir, "%s/ads", root);
    snprintf(file, sizeof file, "%s/v", table_dir);
    mkdir(table_dir, 0700);
    mkdir(file, 0700);
    for (int v = FIRST; v <= LAST; v++) {
        snprintf(version_dir, sizeof version_dir, "%s/v/%d", table_dir, v);
        mkdir(version_dir, 0700);
        snprintf(file, sizeof file, "%s/version.json", version_dir);
        int fd = creat(file, 0600);
        if (fd < 0 || close(fd))
            return -1;
    }
    snprintf(version_dir, sizeof version_dir, "%s/v/7", table_dir);
    return 0;
}

static int remove_dirs(void **state)
{
    char file[256];
    for (int v = FIRST; v <= LAST; v++) {
        snprintf(file, sizeof file, "%s/v/%d/version.json", table_dir, v);
        unlink(file);
        snprintf(file, sizeof file, "%s/v/%d", table_dir, v);
        rmdir(file);
    }
    snprintf(file, sizeof file, "%s/v", table_dir);
    rmdir(file);
    rmdir(table_dir);
    return rmdir(root);
}

static fkv_table *open_table(const char *dir, enum fkv_transport transport)
{
    struct fkv_options options = {.transport = transport, .timeout_ns = 20000000000u};
    fkv_table *table = NULL;
    struct err err = {0};
    assert_int_equal(table_open(dir, &options, &fake_mount_ops, &table, &err), 0);
    return table;
}

static void close_table(fkv_table *table)
{
    fkv_close(table);
    assert_int_equal(fake_mount_n_fds(), 0);
}

static fkv_scan *begin(fkv_table *table, const fkv_range *range)
{
    fkv_scan *scan = NULL;
    int r = fkv_scan_new(table, range, NULL, &scan);
    if (r)
        print_message("%s\n", fkv_last_error());
    assert_int_equal(r, 0);
    return scan;
}

static int step(fkv_scan *scan, fkv_entry *entry)
{
    int r = fkv_scan_next(scan, entry);
    if (r < 0)
        print_message("%s\n", fkv_last_error());
    return r;
}

/* The key found next to, or behind, a number. */
static uint64_t found_from(uint64_t key)
{
    return fake_found(key) ? key : key + 1;
}

static uint64_t number_of(const fkv_entry *entry)
{
    char text[16] = "";
    if (!entry->key_len)
        return entry->key_u64;
    assert_int_equal(entry->key_len, 7);
    memcpy(text, entry->key, 7);
    assert_int_equal(text[0], 'k');
    return strtoull(text + 1, NULL, 10);
}

/* Every key found of [from, to) comes, in order, with the value of that version; then nothing. */
static void assert_walk(fkv_scan *scan, uint64_t from, uint64_t to, uint64_t version)
{
    uint8_t expected[FAKE_VALUE_MAX];
    fkv_entry entry;
    assert_int_equal(fkv_scan_version(scan), version);
    for (uint64_t key = found_from(from); key < to; key = found_from(key + 1)) {
        assert_int_equal(step(scan, &entry), 1);
        assert_int_equal(number_of(&entry), key);
        assert_int_equal(entry.status, FKV_FOUND);
        assert_int_equal(entry.value_len, fake_value(key, version, expected));
        assert_memory_equal(entry.value, expected, entry.value_len);
    }
    assert_int_equal(step(scan, &entry), 0);
    assert_int_equal(step(scan, &entry), 0);
}

static void scan__gives_all_in_order_by_every_transport_in_pieces_of_any_size(void **state)
{
    static const uint32_t sizes[] = {0, 1, 7, N_KEYS};
    for (int transport = FKV_AUTO; transport <= FKV_INLINE; transport++) {
        for (uint32_t type = FKV_KEY_U64; type <= FKV_KEY_BYTES; type++) {
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                fake_mount_reset();
                fake.key_type = type;
                fake.scan_n_max = sizes[i];
                fkv_table *table = open_table(table_dir, (enum fkv_transport)transport);
                fkv_scan *scan = begin(table, NULL);
                assert_walk(scan, 0, N_KEYS, 7);
                fkv_scan_free(scan);
                close_table(table);
            }
        }
    }
}

static void scan__without_shared_memory_travels_by_messages(void **state)
{
    fake_mount_reset();
    fake.attach_error = EPERM;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    fkv_scan *scan = begin(table, NULL);
    assert_walk(scan, 0, N_KEYS, 7);
    assert_int_equal(fake.n_message, 1);
    fkv_scan_free(scan);
    const fkv_range few = {.limit = 3};
    scan = begin(table, &few);
    assert_walk(scan, 0, 3, 7);
    assert_int_equal(fake.n_inline, 1);
    fkv_scan_free(scan);
    close_table(table);
}

static void scan__keeps_to_its_range(void **state)
{
    fake_mount_reset();
    fake.scan_n_max = 10;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    const fkv_range range = {.from_u64 = 17, .to_u64 = 210};
    fkv_scan *scan = begin(table, &range);
    assert_walk(scan, 17, 210, 7);
    fkv_scan_free(scan);
    const fkv_range empty = {.from_u64 = 20, .to_u64 = 10};
    scan = begin(table, &empty);
    assert_walk(scan, 0, 0, 7);
    fkv_scan_free(scan);
    const fkv_range limited = {.from_u64 = 4, .limit = 20}; /* 3 of 4 are found: up to 30 */
    scan = begin(table, &limited);
    assert_walk(scan, 4, 30, 7);
    fkv_scan_free(scan);
    close_table(table);
}

static void scan__of_bytes_keeps_to_its_prefix_or_bounds(void **state)
{
    fake_mount_reset();
    fake.key_type = FKV_KEY_BYTES;
    fake.scan_n_max = 7;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    const fkv_range prefix = {.prefix = "k0001", .prefix_len = 5};
    fkv_scan *scan = begin(table, &prefix);
    assert_walk(scan, 100, 200, 7);
    fkv_scan_free(scan);
    const fkv_range bounds = {.from = "k00002", .from_len = 6, .to = "k000456", .to_len = 7};
    scan = begin(table, &bounds);
    assert_walk(scan, 20, 456, 7);
    fkv_scan_free(scan);
    close_table(table);
}

static void range__a_prefix_ends_where_it_can_be_raised(void **state)
{
    struct scan_range range;
    fkv_range wish = {.prefix = "a\xff\xff", .prefix_len = 3};
    uint8_t bounds[SCAN_BOUNDS_LEN_MAX];
    assert_int_equal(scan_range_init(&range, &wish, FKV_KEY_BYTES, NULL), 0);
    assert_int_equal(range.to_len, 1);
    assert_memory_equal(range.to, "b", 1);
    assert_int_equal(scan_range_write(&range, bounds), 8 + 3 + 1);
    assert_memory_equal(bounds,
                        "\x03\0\0\0\x04\0\0\0a\xff\xff"
                        "b",
                        12);
    wish = (fkv_range){.prefix = "\xff\xff", .prefix_len = 2};
    assert_int_equal(scan_range_init(&range, &wish, FKV_KEY_BYTES, NULL), 0);
    assert_int_equal(range.to_len, 0);
}

static void range__ends_at_the_last_of_all_keys(void **state)
{
    struct scan_range range;
    fkv_range wish = {0};
    uint64_t last = UINT64_MAX;
    uint8_t longest[255];
    assert_int_equal(scan_range_init(&range, &wish, FKV_KEY_U64, NULL), 0);
    assert_int_equal(scan_range_pass(&range, (const uint8_t *)&last, 8, NULL), 0);
    assert_true(scan_range_is_over(&range));
    assert_int_equal(scan_range_pass(&range, (const uint8_t *)&last, 8, NULL), -EPROTO);
    memset(longest, 0xff, sizeof longest);
    assert_int_equal(scan_range_init(&range, &wish, FKV_KEY_BYTES, NULL), 0);
    assert_int_equal(scan_range_pass(&range, longest, 255, NULL), 0);
    assert_int_equal(range.from_len, 256);
    assert_int_equal(range.from[255], 0);
    assert_int_equal(scan_range_pass(&range, longest, 255, NULL), -EPROTO);
}

static int refused(fkv_table *table, fkv_range range)
{
    fkv_scan *scan = NULL;
    int r = fkv_scan_new(table, &range, NULL, &scan);
    assert_null(scan);
    assert_true(fkv_last_error()[0] != 0);
    return r;
}

static void range__that_does_not_fit_the_keys_is_refused(void **state)
{
    char longer[300] = "";
    fake_mount_reset();
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    assert_int_equal(refused(table, (fkv_range){.prefix = "a", .prefix_len = 1}), -EINVAL);
    assert_int_equal(refused(table, (fkv_range){.from = "a", .from_len = 1}), -EINVAL);
    assert_int_equal(refused(table, (fkv_range){.to = "a", .to_len = 1}), -EINVAL);
    fake.key_type = FKV_KEY_BYTES;
    assert_int_equal(refused(table, (fkv_range){.from_u64 = 1}), -EINVAL);
    assert_int_equal(refused(table, (fkv_range){.to_u64 = 1}), -EINVAL);
    assert_int_equal(refused(table, (fkv_range){.from = longer, .from_len = 257}), -EINVAL);
    assert_int_equal(refused(table, (fkv_range){.to = longer, .to_len = 257}), -EINVAL);
    assert_int_equal(refused(table, (fkv_range){.prefix = longer, .prefix_len = 256}), -EINVAL);
    assert_int_equal(
        refused(table, (fkv_range){.prefix = "a", .prefix_len = 1, .to = "b", .to_len = 1}),
        -EINVAL);
    close_table(table);
}

static void version__a_scan_stays_on_the_one_it_began_with(void **state)
{
    fake_mount_reset();
    fake.scan_n_max = 10;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    fkv_scan *scan = begin(table, NULL);
    fkv_entry entry;
    assert_int_equal(step(scan, &entry), 1);
    fake.current = 8;
    uint8_t expected[FAKE_VALUE_MAX];
    for (uint64_t key = 1; key < N_KEYS; key = found_from(key + 1)) {
        assert_int_equal(step(scan, &entry), 1);
        assert_int_equal(entry.value_len, fake_value(key, 7, expected));
        assert_memory_equal(entry.value, expected, entry.value_len);
    }
    assert_int_equal(step(scan, &entry), 0);
    fkv_scan_free(scan);
    scan = begin(table, NULL);
    assert_walk(scan, 0, N_KEYS, 8);
    fkv_scan_free(scan);
    close_table(table);
}

static void version__asked_for_is_the_one_scanned_or_told_why_not(void **state)
{
    fkv_scan *scan = NULL;
    fake_mount_reset();
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    fkv_ask ask = {.exact_version = 6};
    assert_int_equal(fkv_scan_new(table, NULL, &ask, &scan), 0);
    assert_walk(scan, 0, N_KEYS, 6);
    fkv_scan_free(scan);
    ask.exact_version = 8;
    assert_int_equal(fkv_scan_new(table, NULL, &ask, &scan), -ESTALE);
    ask.exact_version = 5;
    assert_int_equal(fkv_scan_new(table, NULL, &ask, &scan), -ESTALE);
    ask = (fkv_ask){.at_least_version = 8};
    assert_int_equal(fkv_scan_new(table, NULL, &ask, &scan), -EAGAIN);
    ask.exact_version = 7;
    assert_int_equal(fkv_scan_new(table, NULL, &ask, &scan), -EINVAL);
    fake.current = 0;
    assert_int_equal(fkv_scan_new(table, NULL, NULL, &scan), -ENOENT);
    close_table(table);
}

static void pinned__table_is_scanned_at_its_version(void **state)
{
    fake_mount_reset();
    fkv_table *table = open_table(version_dir, FKV_AUTO);
    fake.current = 8;
    fkv_scan *scan = begin(table, NULL);
    assert_walk(scan, 0, N_KEYS, 7);
    fkv_scan_free(scan);
    close_table(table);
}

static void reconnect__a_scan_goes_on_where_it_was(void **state)
{
    static const int losses[] = {ENOTCONN, ECONNABORTED, EIO};
    for (int transport = FKV_AUTO; transport <= FKV_INLINE; transport++) {
        for (size_t i = 0; i < sizeof losses / sizeof *losses; i++) {
            fake_mount_reset();
            fake.scan_n_max = 100;
            fkv_table *table = open_table(table_dir, (enum fkv_transport)transport);
            fkv_scan *scan = begin(table, NULL);
            fkv_entry entry;
            for (uint64_t key = 0; key < 300; key = found_from(key + 1))
                assert_int_equal(step(scan, &entry), 1);
            fake.call_error = losses[i];
            fake.n_call_errors = 2;
            fake_mount_restart();
            assert_walk(scan, 300, N_KEYS, 7);
            fkv_scan_free(scan);
            close_table(table);
        }
    }
}

static void reconnect__a_version_that_is_lost_is_stale(void **state)
{
    fake_mount_reset();
    fake.scan_n_max = 10;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    fkv_scan *scan = begin(table, NULL);
    fkv_entry entry;
    assert_int_equal(step(scan, &entry), 1);
    fake.current = fake.oldest = 8;
    fake_mount_restart();
    int r = 1;
    while (r == 1)
        r = fkv_scan_next(scan, &entry);
    assert_int_equal(r, -ESTALE);
    assert_int_equal(number_of(&entry), 12); /* what was fetched is given */
    fkv_scan_free(scan);
    close_table(table);
}

static void deadline__is_the_whole_scans(void **state)
{
    fake_mount_reset();
    fake.scan_n_max = 10;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    fkv_ask ask = {.deadline_ns = channel_now_ns() + 20000000000u};
    fkv_scan *scan = NULL;
    fkv_entry entry;
    assert_int_equal(fkv_scan_new(table, NULL, &ask, &scan), 0);
    assert_int_equal(step(scan, &entry), 1);
    assert_true(fake.last_deadline_ns == ask.deadline_ns);
    fake.reply_error = -ETIMEDOUT;
    int r = 1;
    while (r == 1)
        r = fkv_scan_next(scan, &entry);
    assert_int_equal(r, -ETIMEDOUT);
    fake.reply_error = 0;
    assert_int_equal(step(scan, &entry), 1); /* another call tries again */
    assert_int_equal(number_of(&entry), 13 + !fake_found(13));
    fkv_scan_free(scan);
    close_table(table);
}

static void value__larger_than_a_piece_is_given_room(void **state)
{
    for (int transport = FKV_AUTO; transport <= FKV_MESSAGE; transport++) {
        fake_mount_reset();
        fake.n_keys = 3;
        fake.scan_value_len = 16 << 20;
        fkv_table *table = open_table(table_dir, (enum fkv_transport)transport);
        fkv_scan *scan = begin(table, NULL);
        fkv_entry entry;
        for (int i = 0; i < 3; i++) {
            assert_int_equal(step(scan, &entry), 1);
            assert_int_equal(entry.value_len, 16 << 20);
        }
        assert_int_equal(step(scan, &entry), 0);
        fkv_scan_free(scan);
        close_table(table);
    }
    fake_mount_reset();
    fake.scan_value_len = 20000;
    fkv_table *table = open_table(table_dir, FKV_INLINE); /* cannot carry it */
    fkv_scan *scan = begin(table, NULL);
    fkv_entry entry;
    assert_int_equal(fkv_scan_next(scan, &entry), -E2BIG);
    fkv_scan_free(scan);
    close_table(table);
}

static void value__that_could_not_be_read_is_told(void **state)
{
    fake_mount_reset();
    fake.scan_fails = true;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    fkv_scan *scan = begin(table, NULL);
    fkv_entry entry;
    assert_int_equal(step(scan, &entry), 1);
    assert_int_equal(entry.status, FKV_FAILED);
    assert_null(entry.value);
    assert_int_equal(entry.value_len, 0);
    fkv_scan_free(scan);
    close_table(table);
}

static void refusal__is_told_in_words(void **state)
{
    fkv_entry entry;
    fkv_scan *scan = NULL;
    fake_mount_reset();
    fake.not_idx = true;
    fkv_table *table = open_table(table_dir, FKV_AUTO);
    scan = begin(table, NULL);
    assert_int_equal(fkv_scan_next(scan, &entry), -ENOTSUP);
    assert_non_null(strstr(fkv_last_error(), "only tables of kind idx"));
    fkv_scan_free(scan);
    fake.not_idx = false;
    fkv_ask ask = {.as_f32 = 1};
    assert_int_equal(fkv_scan_new(table, NULL, &ask, &scan), 0);
    assert_int_equal(fkv_scan_next(scan, &entry), -ENOTSUP);
    assert_non_null(strstr(fkv_last_error(), "not vectors"));
    fkv_scan_free(scan);
    close_table(table);
}

static void reply__forged_ones_are_refused(void **state)
{
    for (int transport = FKV_SHARED; transport <= FKV_INLINE; transport++) {
        fkv_entry entry;
        fake_mount_reset();
        fake.scan_n_max = 10;
        fkv_table *table = open_table(table_dir, (enum fkv_transport)transport);
        fkv_scan *scan = begin(table, NULL);
        assert_int_equal(step(scan, &entry), 1);
        fake.scan_backwards = true; /* would go in circles */
        int r = 1;
        while (r == 1)
            r = fkv_scan_next(scan, &entry);
        assert_int_equal(r, -EPROTO);
        fake.scan_backwards = false;
        fake.scan_overrun = true;
        for (r = 1; r == 1;)
            r = fkv_scan_next(scan, &entry);
        assert_int_equal(r, -EPROTO);
        fake.scan_overrun = false;
        fake.forge_served = true;
        assert_int_equal(fkv_scan_next(scan, &entry), -EPROTO);
        fkv_scan_free(scan);
        close_table(table);
    }
}

static void free__accepts_nothing(void **state)
{
    fkv_scan_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scan__gives_all_in_order_by_every_transport_in_pieces_of_any_size),
        cmocka_unit_test(scan__without_shared_memory_travels_by_messages),
        cmocka_unit_test(scan__keeps_to_its_range),
        cmocka_unit_test(scan__of_bytes_keeps_to_its_prefix_or_bounds),
        cmocka_unit_test(range__a_prefix_ends_where_it_can_be_raised),
        cmocka_unit_test(range__ends_at_the_last_of_all_keys),
        cmocka_unit_test(range__that_does_not_fit_the_keys_is_refused),
        cmocka_unit_test(version__a_scan_stays_on_the_one_it_began_with),
        cmocka_unit_test(version__asked_for_is_the_one_scanned_or_told_why_not),
        cmocka_unit_test(pinned__table_is_scanned_at_its_version),
        cmocka_unit_test(reconnect__a_scan_goes_on_where_it_was),
        cmocka_unit_test(reconnect__a_version_that_is_lost_is_stale),
        cmocka_unit_test(deadline__is_the_whole_scans),
        cmocka_unit_test(value__larger_than_a_piece_is_given_room),
        cmocka_unit_test(value__that_could_not_be_read_is_told),
        cmocka_unit_test(refusal__is_told_in_words),
        cmocka_unit_test(reply__forged_ones_are_refused),
        cmocka_unit_test(free__accepts_nothing),
    };
    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
