/* SPDX-License-Identifier: Apache-2.0 */
/* Appending: rivals, lost replies, failing stores, killed writers. Nothing is ever lost or doubled. */
#include "unit.h"

#include "log_fixture.h"
#include "temp_dir.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void append__gives_numbers_and_states_in_order(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    for (uint64_t i = 1; i <= 5; i++) {
        assert_int_equal(must_append(manifest, "ads"), i);
        assert_int_equal(manifest_state(manifest)->seq, i);
        assert_int_equal(last_version(manifest_state(manifest), "ads"), i);
    }
    manifest_close(manifest);
}

static void append__sees_what_came_since_the_last_refresh(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *one = must_open(f->store);
    struct manifest *two = must_open(f->plain);
    for (uint64_t i = 1; i <= 10; i += 2) {
        assert_int_equal(must_append(one, "ads"), i);
        assert_int_equal(must_append(two, "ads"), i + 1);
    }
    assert_int_equal(last_version(manifest_state(two), "ads"), 10);
    manifest_close(one);
    manifest_close(two);
}

static int build_nothing(void *context, const struct state *state, struct op_list *ops,
                         struct err *err)
{
    return 0;
}

static int build_refusal(void *context, const struct state *state, struct op_list *ops,
                         struct err *err)
{
    return err_set(err, -EPERM, "not today");
}

static int build_given(void *context, const struct state *state, struct op_list *ops,
                       struct err *err)
{
    *ops = (struct op_list){context, 1};
    return 0;
}

static void append__writes_nothing_that_is_refused(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    struct err err = {0};
    struct next_version next = {.table = "ads"};
    struct op bad_name = {.kind = OP_PUBLISH, .table = "../ads", .version = 1};
    struct op unknown = {.kind = OP_RETIRE, .table = "ads", .version = 1};
    char long_reason[RECORD_TEXT_MAX + 100];
    memset(long_reason, 'x', sizeof long_reason);
    long_reason[sizeof long_reason - 1] = '\0';
    assert_int_equal(manifest_append(manifest, "", build_nothing, NULL, NULL, &err), -EINVAL);
    assert_int_equal(manifest_append(manifest, "", build_refusal, NULL, NULL, &err), -EPERM);
    assert_string_equal(err.text, "not today");
    assert_int_equal(manifest_append(manifest, "", build_given, &bad_name, NULL, &err), -EINVAL);
    assert_int_equal(manifest_append(manifest, "", build_given, &unknown, NULL, &err), -ENOENT);
    assert_int_equal(manifest_append(manifest, long_reason, build_next, &next, NULL, &err),
                     -EINVAL);
    assert_int_equal(manifest_append(manifest, "\xff", build_next, &next, NULL, &err), -EINVAL);
    struct store_list list = {0};
    assert_int_equal(store_list(f->plain, "log", &list, NULL), 0);
    assert_int_equal(list.n_names, 0);
    store_list_release(&list);
    manifest_close(manifest);
}

static void append__keeps_a_reason_on_one_line(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    struct next_version next = {.table = "ads"};
    struct record record = {0};
    assert_int_equal(manifest_append(manifest, "two\nlines\x1b[31m", build_next, &next, NULL, NULL),
                     0);
    assert_int_equal(manifest_read_record(manifest, 1, &record, NULL), 0);
    assert_string_equal(record.reason, "two lines [31m");
    record_release(&record);
    manifest_close(manifest);
}

/* Another machine that appends just before our link, as often as it is told. */
struct rival {
    struct manifest *manifest;
    const char *table;
    unsigned n_left;
};

static void rival_before(void *context, const char *op, const char *path)
{
    struct rival *rival = context;
    if (rival->n_left == 0 || strcmp(op, "link") != 0)
        return;
    rival->n_left--;
    must_append(rival->manifest, rival->table);
}

static void append__tries_again_when_another_was_first(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    struct rival rival = {must_open(f->plain), "ads", 3};
    struct next_version next = {.table = "ads"};
    uint64_t seq = 0;
    f->faulty->before = rival_before;
    f->faulty->context = &rival;
    assert_int_equal(manifest_append(manifest, "", build_next, &next, &seq, NULL), 0);
    assert_int_equal(seq, 4);
    assert_int_equal(next.n_built, 4);
    assert_int_equal(next.op.version, 4);
    assert_int_equal(last_version(manifest_state(manifest), "ads"), 4);
    manifest_close(rival.manifest);
    manifest_close(manifest);
}

static void append__is_refused_when_the_rival_made_it_wrong(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    struct rival rival = {must_open(f->plain), "ads", 0};
    struct err err = {0};
    must_append(manifest, "ads");
    struct op delta = {.kind = OP_PUBLISH, .table = "ads", .version = 3, .base = 1};
    rival.n_left = 1;
    f->faulty->before = rival_before;
    f->faulty->context = &rival;
    assert_int_equal(manifest_append(manifest, "", build_given, &delta, NULL, &err), -ESTALE);
    assert_non_null(strstr(err.text, "delta on 1, but 2 is the newest"));
    assert_int_equal(manifest_state(manifest)->seq, 2);
    manifest_close(rival.manifest);
    manifest_close(manifest);
}

static void append__gives_up_after_very_many_rivals(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    struct rival rival = {must_open(f->plain), "ads", UINT32_MAX};
    struct next_version next = {.table = "user"};
    struct err err = {0};
    f->faulty->before = rival_before;
    f->faulty->context = &rival;
    assert_int_equal(manifest_append(manifest, "", build_next, &next, NULL, &err), -EAGAIN);
    assert_int_equal(next.n_built, APPEND_TRIES);
    manifest_close(rival.manifest);
    manifest_close(manifest);
}

/* How often the table was published to, by the log as a newcomer reads it. */
static size_t n_published(struct store *store, const char *table)
{
    struct manifest *manifest = must_open(store);
    const struct table_state *found = state_find_table(manifest_state(manifest), table);
    size_t n = found ? found->n_versions : 0;
    manifest_close(manifest);
    return n;
}

/* One append with the nth call going wrong; then the log must hold it exactly when it was reported. */
static bool fault_round(unsigned nth, enum faulty_mode mode, int code, bool is_certain)
{
    struct log_fixture f;
    struct next_version next = {.table = "ads"};
    struct err err = {0};
    uint64_t seq = 0;
    log_fixture_open(&f);
    struct manifest *manifest = must_open(f.store);
    must_append(manifest, "user");
    faulty_arm(f.faulty, nth, mode, code);
    int ret = manifest_append(manifest, "", build_next, &next, &seq, &err);
    bool was_hit = f.faulty->was_hit;
    faulty_disarm(f.faulty);
    size_t n = n_published(f.plain, "ads");
    assert_true(n <= 1);
    if (ret == 0 || is_certain)
        assert_int_equal(n, ret == 0);
    if (ret == 0)
        assert_int_equal(seq, 2);
    else
        assert_true(err.text[0]);
    /* The same manifest goes on, whatever it saw. */
    must_append(manifest, "ads");
    assert_int_equal(n_published(f.plain, "ads"), n + 1);
    manifest_close(manifest);
    log_fixture_close(&f);
    return was_hit;
}

static void append__is_recorded_once_or_not_whichever_call_fails(void **state)
{
    static const struct {
        enum faulty_mode mode;
        int code;
    } faults[] = {
        {FAULTY_FAIL, -EIO},       {FAULTY_FAIL, -ENOSPC}, {FAULTY_DIE, -EIO},
        {FAULTY_LOSE, -EIO},       {FAULTY_LOSE, -EEXIST}, /* a server that repeats the call */
        {FAULTY_LOSE, -ETIMEDOUT},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        unsigned nth = 1;
        while (fault_round(nth, faults[i].mode, faults[i].code, true))
            nth++;
        assert_true(nth > 6); /* probe, create, append, sync, link, remove */
    }
}

static void append__with_no_way_to_tell_says_so(void **state)
{
    /* The link is done, its reply lost, and the store gone with it: the record is there, and nobody can know. */
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    struct next_version next = {.table = "ads"};
    struct err err = {0};
    manifest_now_ns(manifest);
    faulty_arm(f->faulty, 5, FAULTY_LOSE_AND_DIE, -EIO);
    assert_int_equal(manifest_append(manifest, "", build_next, &next, NULL, &err), -EIO);
    assert_non_null(strstr(err.text, "look at `fkv log` before trying again"));
    faulty_disarm(f->faulty);
    assert_int_equal(n_published(f->plain, "ads"), 1);
    assert_int_equal(manifest_refresh(manifest, NULL, NULL), 0);
    assert_int_equal(manifest_state(manifest)->seq, 1);
    manifest_close(manifest);
    for (unsigned nth = 1; fault_round(nth, FAULTY_LOSE_AND_DIE, -EIO, false); nth++)
        ;
}

static void append__does_not_add_to_a_broken_log(void **state)
{
    struct log_fixture *f = *state;
    struct manifest *manifest = must_open(f->store);
    struct next_version next = {.table = "ads"};
    struct err err = {0};
    assert_int_equal(store_put_new(f->plain, "log/0000000001.json", "{", 1, NULL), 0);
    assert_int_equal(manifest_append(manifest, "", build_next, &next, NULL, &err), -EBADMSG);
    assert_non_null(strstr(err.text, "log/0000000001.json"));
    manifest_close(manifest);
}

enum { N_RACE = 250 };

struct racer {
    const char *dir;
    const char *table;
    uint64_t seqs[N_RACE];
    int ret;
    char text[ERR_TEXT_MAX];
};

static void *race(void *context)
{
    struct racer *racer = context;
    struct store *store = NULL;
    struct manifest *manifest = NULL;
    struct err err = {0};
    int ret = store_open(racer->dir, &store, &err);
    if (!ret)
        ret = manifest_open(store, &manifest, &err);
    for (int i = 0; i < N_RACE && !ret; i++) {
        struct next_version next = {.table = racer->table};
        ret = manifest_append(manifest, racer->table, build_next, &next, &racer->seqs[i], &err);
    }
    manifest_close(manifest);
    store_close(store);
    racer->ret = ret;
    memcpy(racer->text, err.text, sizeof racer->text);
    return NULL;
}

/* Every record of the log carries its own nonce, and the racer's own numbers carry its reason. */
static void check_race(struct manifest *manifest, const struct racer *racer)
{
    for (int i = 0; i < N_RACE; i++) {
        struct record record = {0};
        assert_int_equal(manifest_read_record(manifest, racer->seqs[i], &record, NULL), 0);
        assert_string_equal(record.reason, racer->table);
        record_release(&record);
        assert_true(i == 0 || racer->seqs[i] > racer->seqs[i - 1]);
    }
}

static void append__two_at_once_lose_and_double_nothing(void **state)
{
    char dir[TEMP_DIR_MAX];
    struct store *store = NULL;
    pthread_t threads[2];
    static struct racer racers[2];
    temp_dir_make_fast(dir);
    assert_int_equal(store_open(dir, &store, NULL), 0);
    assert_int_equal(manifest_init_store(store, NULL), 0);
    for (int i = 0; i < 2; i++) {
        racers[i] = (struct racer){.dir = dir, .table = i ? "ads" : "user"};
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++)
        if (racers[i].ret)
            fail_msg("%s", racers[i].text);
    struct manifest *manifest = must_open(store);
    assert_int_equal(manifest_state(manifest)->seq, 2 * N_RACE);
    check_race(manifest, &racers[0]);
    check_race(manifest, &racers[1]);
    assert_int_equal(n_published(store, "ads"), N_RACE);
    assert_int_equal(n_published(store, "user"), N_RACE);
    struct store_list list = {0};
    assert_int_equal(store_list(store, "log", &list, NULL), 0);
    for (size_t i = 0; i < list.n_names; i++)
        assert_false(store_is_temporary(list.names[i]));
    store_list_release(&list);
    manifest_close(manifest);
    store_close(store);
    temp_dir_remove(dir);
}

/* Appends until killed, telling each number it was given. */
static void append_for_ever(const char *dir, int tell)
{
    struct store *store = NULL;
    struct manifest *manifest = NULL;
    if (store_open(dir, &store, NULL) || manifest_open(store, &manifest, NULL))
        _exit(1);
    for (;;) {
        struct next_version next = {.table = "ads"};
        uint64_t seq = 0;
        if (manifest_append(manifest, "again", build_next, &next, &seq, NULL) ||
            write(tell, &seq, sizeof seq) != sizeof seq)
            _exit(1);
    }
}

/* Starts an appender, kills it after a while; the last number it was sure of. */
static uint64_t kill_appender(const char *dir, useconds_t after_us)
{
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        append_for_ever(dir, pipes[1]);
    close(pipes[1]);
    usleep(after_us);
    kill(pid, SIGKILL);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    uint64_t last = 0;
    uint64_t seq = 0;
    while (read(pipes[0], &seq, sizeof seq) == sizeof seq)
        last = seq;
    close(pipes[0]);
    return last;
}

static void append__killed_anywhere_keeps_the_log_good(void **state)
{
    char dir[TEMP_DIR_MAX];
    struct store *store = NULL;
    uint64_t before = 0;
    unsigned n_sure = 0;
    temp_dir_make(dir);
    assert_int_equal(store_open(dir, &store, NULL), 0);
    assert_int_equal(manifest_init_store(store, NULL), 0);
    for (useconds_t round = 0; round < 25; round++) {
        uint64_t sure = kill_appender(dir, 2000 + round * 1931 % 29000);
        n_sure += sure > 0;
        struct manifest *manifest = must_open(store);
        uint64_t seq = manifest_state(manifest)->seq;
        /* All it was sure of, and at most the one it had under way. */
        if (sure)
            assert_true(seq == sure || seq == sure + 1);
        else
            assert_true(seq == before || seq == before + 1);
        assert_int_equal(last_version(manifest_state(manifest), "ads"), seq);
        must_append(manifest, "ads");
        before = seq + 1;
        manifest_close(manifest);
    }
    assert_true(n_sure > 0);
    store_close(store);
    temp_dir_remove(dir);
}

#define IN_MEMORY(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_MEMORY(append__gives_numbers_and_states_in_order),
        IN_MEMORY(append__sees_what_came_since_the_last_refresh),
        IN_MEMORY(append__writes_nothing_that_is_refused),
        IN_MEMORY(append__keeps_a_reason_on_one_line),
        IN_MEMORY(append__tries_again_when_another_was_first),
        IN_MEMORY(append__is_refused_when_the_rival_made_it_wrong),
        IN_MEMORY(append__gives_up_after_very_many_rivals),
        cmocka_unit_test(append__is_recorded_once_or_not_whichever_call_fails),
        IN_MEMORY(append__with_no_way_to_tell_says_so),
        IN_MEMORY(append__does_not_add_to_a_broken_log),
        cmocka_unit_test(append__two_at_once_lose_and_double_nothing),
        cmocka_unit_test(append__killed_anywhere_keeps_the_log_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
