/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the log: opening, following, snapshots, and logs that somebody damaged. */
#include "unit.h"

#include "log_fixture.h"
#include "manifest/log_name.h"

#include <errno.h>
#include <stdlib.h>

static int setup(void **state)
{
    struct log_fixture *f = calloc(1, sizeof *f);
    log_fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    log_fixture_close(*state);
    free(*state);
    return 0;
}

/* n records, the i-th publishing version i of table ads. */
static void fill(struct log_fixture *f, unsigned n)
{
    struct manifest *manifest = must_open(f->plain);
    for (unsigned i = 0; i < n; i++)
        must_append(manifest, "ads");
    manifest_close(manifest);
}

static void replace(struct log_fixture *f, const char *path, const void *data, size_t len)
{
    assert_int_equal(store_put(f->plain, path, data, len, NULL), 0);
}

static void flip_bit(struct log_fixture *f, const char *path, size_t at)
{
    struct buf text = {0};
    assert_int_equal(store_get(f->plain, path, 1 << 20, &text, NULL), 0);
    text.data[at % text.len] ^= 4;
    replace(f, path, text.data, text.len);
    buf_release(&text);
}

static void init__makes_a_store_once(void **state)
{
    struct log_fixture *f = *state;
    char id[64];
    struct manifest *manifest = must_open(f->store);
    strcpy(id, manifest_store_id(manifest));
    assert_int_equal(strlen(id), 32);
    manifest_close(manifest);
    manifest_close(NULL);
    assert_int_equal(manifest_init_store(f->store, NULL), 0);
    assert_int_equal(store_remove_tree(f->plain, "nodes", NULL), 0);
    assert_int_equal(manifest_init_store(f->store, NULL), 0);
    struct store_stat st;
    assert_int_equal(store_stat(f->plain, "nodes", &st, NULL), 0);
    manifest = must_open(f->store);
    assert_string_equal(manifest_store_id(manifest), id);
    assert_int_equal(manifest_state(manifest)->seq, 0);
    manifest_close(manifest);
}

static void init__killed_anywhere_is_mended_by_the_next(void **state)
{
    bool was_hit = true;
    for (unsigned nth = 1; was_hit; nth++) {
        struct backend *memory = memory_backend_new();
        struct faulty *faulty = faulty_new(memory, false);
        struct store *store = NULL;
        assert_int_equal(store_open_backend(&faulty->backend, "faulty:", &store, NULL), 0);
        faulty_arm(faulty, nth, FAULTY_DIE, -EIO);
        int ret = manifest_init_store(store, NULL);
        was_hit = faulty->was_hit;
        assert_true(ret == 0 || was_hit);
        faulty_disarm(faulty);
        assert_int_equal(manifest_init_store(store, NULL), 0);
        manifest_close(must_open(store));
        store_close(store);
    }
}

static void open__says_when_there_is_no_store(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = NULL;
    struct err err = {0};
    assert_int_equal(store_remove(f->plain, "store.json", NULL), 0);
    assert_int_equal(manifest_open(f->store, &manifest, &err), -ENOENT);
    assert_non_null(strstr(err.text, "faulty: is no fkv store yet"));
    static const struct {
        const char *text;
        int code;
    } bad[] = {
        {"", -EBADMSG},
        {"{}", -EBADMSG},
        {"{\"format\":2,\"id\":\"x\"}", -ENOTSUP},
        {"{\"format\":1}", -EBADMSG},
        {"{\"format\":1,\"id\":\"../../etc\"}", -EBADMSG},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        replace(f, "store.json", bad[i].text, strlen(bad[i].text));
        assert_int_equal(manifest_open(f->store, &manifest, &err), bad[i].code);
        assert_non_null(strstr(err.text, "store.json"));
    }
}

static void refresh__with_nothing_new_is_one_request(void **state)
{
    struct log_fixture *f = *state;
    fill(f, 3);
    struct manifest *manifest = must_open(f->store);
    size_t n_new = 77;
    f->faulty->n_calls = 0;
    assert_int_equal(manifest_refresh(manifest, &n_new, NULL), 0);
    assert_int_equal(n_new, 0);
    assert_int_equal(f->faulty->n_calls, 1);
    manifest_close(manifest);
}

static void refresh__folds_what_others_appended(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *reader = must_open(f->store);
    size_t n_new = 0;
    fill(f, 5);
    assert_int_equal(manifest_refresh(reader, &n_new, NULL), 0);
    assert_int_equal(n_new, 5);
    assert_int_equal(manifest_state(reader)->seq, 5);
    assert_int_equal(last_version(manifest_state(reader), "ads"), 5);
    manifest_close(reader);
}

static void refresh__fails_and_recovers_with_the_store(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *reader = must_open(f->store);
    struct err err = {0};
    fill(f, 2);
    faulty_arm(f->faulty, 1, FAULTY_DIE, -EIO);
    assert_int_equal(manifest_refresh(reader, NULL, &err), -EIO);
    assert_int_equal(manifest_state(reader)->seq, 0);
    faulty_disarm(f->faulty);
    assert_int_equal(manifest_refresh(reader, NULL, &err), 0);
    assert_int_equal(manifest_state(reader)->seq, 2);
    manifest_close(reader);
}

static void read_record__is_for_looking_back(void **state)
{
    struct log_fixture *f = *state;
    struct record record = {0};
    struct err err = {0};
    fill(f, 2);
    struct manifest *manifest = must_open(f->store);
    assert_int_equal(manifest_read_record(manifest, 2, &record, &err), 0);
    assert_int_equal(record.seq, 2);
    assert_string_equal(record.reason, "test");
    assert_non_null(strchr(record.author, '@'));
    assert_true(record.time_ns > 0);
    record_release(&record);
    assert_int_equal(manifest_read_record(manifest, 3, &record, &err), -ENOENT);
    assert_int_equal(manifest_read_record(manifest, 0, &record, &err), -ENOENT);
    assert_int_equal(manifest_read_record(manifest, UINT64_MAX, &record, &err), -ENOENT);
    manifest_close(manifest);
}

static void snapshot__spares_reading_the_log(void **state)
{
    struct log_fixture *f = *state;
    struct store_stat st;
    fill(f, SNAPSHOT_EVERY + 5);
    assert_int_equal(store_stat(f->plain, "log/snapshot-0000000100.json", &st, NULL), 0);
    f->faulty->n_calls = 0;
    struct manifest *manifest = must_open(f->store);
    assert_int_equal(manifest_state(manifest)->seq, SNAPSHOT_EVERY + 5);
    assert_int_equal(last_version(manifest_state(manifest), "ads"), SNAPSHOT_EVERY + 5);
    assert_true(f->faulty->n_calls <= 20); /* not 100 records */
    manifest_close(manifest);
}

static void snapshot__that_is_bad_is_stepped_over(void **state)
{
    struct log_fixture *f = *state;
    struct buf good = {0};
    fill(f, 2 * SNAPSHOT_EVERY + 1);
    flip_bit(f, "log/snapshot-0000000200.json", 300);
    struct manifest *manifest = must_open(f->store);
    assert_int_equal(manifest->snapshot_seq, 100);
    assert_int_equal(manifest_state(manifest)->seq, 201);
    manifest_close(manifest);
    /* One that says it is another. */
    assert_int_equal(store_get(f->plain, "log/snapshot-0000000100.json", 1 << 20, &good, NULL), 0);
    replace(f, "log/snapshot-0000000200.json", good.data, good.len);
    replace(f, "log/snapshot-0000000100.json", "", 0);
    manifest = must_open(f->store);
    assert_int_equal(manifest->snapshot_seq, 0);
    assert_int_equal(manifest_state(manifest)->seq, 201);
    manifest_close(manifest);
    /* One ahead of the log. */
    replace(f, "log/snapshot-0000000100.json", good.data, good.len);
    for (uint64_t seq = 51; seq <= 201; seq++) {
        char path[LOG_NAME_MAX];
        log_record_path(seq, path);
        assert_int_equal(store_remove(f->plain, path, NULL), 0);
    }
    manifest = must_open(f->store);
    assert_int_equal(manifest_state(manifest)->seq, 50);
    manifest_close(manifest);
    buf_release(&good);
}

static size_t count_snapshots(struct log_fixture *f)
{
    struct store_list list = {0};
    size_t n = 0;
    assert_int_equal(store_list(f->plain, "log", &list, NULL), 0);
    for (size_t i = 0; i < list.n_names; i++)
        n += log_snapshot_seq(list.names[i]) != 0;
    store_list_release(&list);
    return n;
}

static void snapshot__only_the_two_newest_stay(void **state)
{
    struct log_fixture *f = *state;
    struct store_stat st;
    fill(f, 2 * SNAPSHOT_EVERY);
    replace(f, "log/snapshot-0000000999.json", "of another log", 14);
    fill(f, 2 * SNAPSHOT_EVERY + 1);
    assert_int_equal(store_stat(f->plain, "log/snapshot-0000000300.json", &st, NULL), 0);
    assert_int_equal(store_stat(f->plain, "log/snapshot-0000000400.json", &st, NULL), 0);
    assert_int_equal(store_stat(f->plain, "log/snapshot-0000000999.json", &st, NULL), 0);
    assert_int_equal(count_snapshots(f), 3);
}

static void snapshot__whose_writer_died_is_made_up_for_by_the_next(void **state)
{
    struct log_fixture *f = *state;
    struct store_stat st;
    fill(f, 200);
    assert_int_equal(store_remove(f->plain, "log/snapshot-0000000200.json", NULL), 0);
    fill(f, 99);
    assert_int_equal(count_snapshots(f), 1);
    fill(f, 1);
    assert_int_equal(store_stat(f->plain, "log/snapshot-0000000300.json", &st, NULL), 0);
    /* The one before it is the second newest, and stays. */
    assert_int_equal(store_stat(f->plain, "log/snapshot-0000000100.json", &st, NULL), 0);
    fill(f, 100);
    assert_int_equal(count_snapshots(f), 2);
    assert_int_equal(store_stat(f->plain, "log/snapshot-0000000100.json", &st, NULL), -ENOENT);
}

static void snapshot__that_cannot_be_written_is_no_error(void **state)
{
    struct log_fixture *f = *state;
    fill(f, 99);
    struct manifest *manifest = must_open(f->store);
    unsigned n_append = 0;
    manifest_now_ns(manifest);
    /* The hundredth append dies right after its record: every call of the snapshot fails. */
    faulty_arm(f->faulty, 6, FAULTY_DIE, -ENOSPC);
    struct next_version next = {.table = "ads"};
    assert_int_equal(manifest_append(manifest, NULL, build_next, &next, NULL, NULL), 0);
    n_append += f->faulty->was_hit;
    assert_int_equal(n_append, 1);
    faulty_disarm(f->faulty);
    assert_int_equal(manifest_state(manifest)->seq, 100);
    assert_int_equal(manifest->snapshot_seq, 0);
    manifest_close(manifest);
}

static void record__that_is_bad_stops_the_fold_before_it(void **state)
{
    struct log_fixture *f = *state;
    struct err err = {0};
    size_t n_new = 0;
    struct manifest *reader = must_open(f->store);
    fill(f, 4);
    flip_bit(f, "log/0000000003.json", 40);
    assert_int_equal(manifest_refresh(reader, &n_new, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "log/0000000003.json"));
    assert_int_equal(n_new, 2);
    assert_int_equal(manifest_state(reader)->seq, 2);
    /* Again: the same, and the state as it was. */
    assert_int_equal(manifest_refresh(reader, &n_new, &err), -EBADMSG);
    assert_int_equal(n_new, 0);
    assert_int_equal(last_version(manifest_state(reader), "ads"), 2);
    struct manifest *manifest = NULL;
    assert_int_equal(manifest_open(f->store, &manifest, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "log/0000000003.json"));
    /* Put right, it goes on. */
    flip_bit(f, "log/0000000003.json", 40);
    assert_int_equal(manifest_refresh(reader, &n_new, &err), 0);
    assert_int_equal(n_new, 2);
    manifest_close(reader);
}

static void assert_fold_fails(struct log_fixture *f, const char *says)
{
    struct manifest *manifest = NULL;
    struct err err = {0};
    assert_int_equal(manifest_open(f->store, &manifest, &err), -EBADMSG);
    if (!strstr(err.text, says))
        print_error("%s\n", err.text);
    assert_non_null(strstr(err.text, says));
}

static void record__in_the_wrong_place_is_refused(void **state)
{
    struct log_fixture *f = *state;
    struct buf text = {0};
    fill(f, 2);
    assert_int_equal(store_get(f->plain, "log/0000000002.json", 1 << 20, &text, NULL), 0);
    replace(f, "log/0000000003.json", text.data, text.len);
    assert_fold_fails(f, "log/0000000003.json: member \"seq\": expected 3, found 2");
    buf_release(&text);
}

static void record__that_breaks_a_rule_is_refused(void **state)
{
    struct log_fixture *f = *state;
    struct buf text = {0};
    struct op op = {.kind = OP_ACTIVATE, .table = "ads", .version = 9};
    struct record forged = {.seq = 3,
                            .nonce = "00000000000000000000000000000000",
                            .author = (char *)"x@y",
                            .reason = (char *)"",
                            .ops = &op,
                            .n_ops = 1};
    fill(f, 2);
    assert_int_equal(record_encode(&forged, &text, NULL), 0);
    replace(f, "log/0000000003.json", text.data, text.len);
    assert_fold_fails(f, "log/0000000003.json breaks a rule: activate: table ads has no version 9");
    buf_release(&text);
}

static void record__too_large_is_refused(void **state)
{
    struct log_fixture *f = *state;
    char *huge = calloc(1, RECORD_JSON_MAX + 1);
    fill(f, 1);
    replace(f, "log/0000000002.json", huge, RECORD_JSON_MAX + 1);
    assert_fold_fails(f, "log/0000000002.json: expected at most 1048576 bytes");
    free(huge);
}

static void record__that_is_missing_is_noticed(void **state)
{
    struct log_fixture *f = *state;
    fill(f, 5);
    assert_int_equal(store_remove(f->plain, "log/0000000003.json", NULL), 0);
    assert_fold_fails(f, "record 3 is missing, though there is a record 5");
}

static void open__reports_each_failing_call(void **state)
{
    struct log_fixture *f = *state;
    fill(f, 3);
    bool was_hit = true;
    unsigned nth = 1;
    for (; was_hit; nth++) {
        struct manifest *manifest = NULL;
        struct err err = {0};
        faulty_arm(f->faulty, nth, FAULTY_FAIL, -EIO);
        int ret = manifest_open(f->store, &manifest, &err);
        was_hit = f->faulty->was_hit;
        assert_int_equal(ret, was_hit ? -EIO : 0);
        manifest_close(manifest);
    }
    assert_true(nth > 9);
}

#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(init__makes_a_store_once),
        IN_MEMORY(init__killed_anywhere_is_mended_by_the_next),
        IN_MEMORY(open__says_when_there_is_no_store),
        IN_MEMORY(refresh__with_nothing_new_is_one_request),
        IN_MEMORY(refresh__folds_what_others_appended),
        IN_MEMORY(refresh__fails_and_recovers_with_the_store),
        IN_MEMORY(read_record__is_for_looking_back),
        IN_MEMORY(snapshot__spares_reading_the_log),
        IN_MEMORY(snapshot__that_is_bad_is_stepped_over),
        IN_MEMORY(snapshot__only_the_two_newest_stay),
        IN_MEMORY(snapshot__whose_writer_died_is_made_up_for_by_the_next),
        IN_MEMORY(snapshot__that_cannot_be_written_is_no_error),
        IN_MEMORY(record__that_is_bad_stops_the_fold_before_it),
        IN_MEMORY(record__in_the_wrong_place_is_refused),
        IN_MEMORY(record__that_breaks_a_rule_is_refused),
        IN_MEMORY(record__too_large_is_refused),
        IN_MEMORY(record__that_is_missing_is_noticed),
        IN_MEMORY(open__reports_each_failing_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
