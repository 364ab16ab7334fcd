/* SPDX-License-Identifier: Apache-2.0 */
/* Without memory: the nth allocation fails, for every n, and nothing is lost, leaked or half done. */
#include "unit.h"

#include "failing_malloc.h"
#include "log_fixture.h"
#include "manifest/heartbeat.h"

#include <errno.h>
#include <stdlib.h>

/* Jansson takes a token for which it has no memory for an invalid one, and we cannot tell either. */
static bool is_refusal(int code)
{
    return code == -ENOMEM || code == -EBADMSG;
}

/* A state with some of everything. */
static void make_state(struct state *state)
{
    struct op ops[] = {
        {.kind = OP_PUBLISH, .table = "ads", .version = 1},
        {.kind = OP_ACTIVATE, .table = "ads", .version = 1},
        {.kind = OP_PIN, .table = "ads", .version = 1, .name = "host"},
        {.kind = OP_TAG, .table = "ads", .version = 1, .name = "stable"},
        {.kind = OP_PUBLISH, .table = "user", .version = 1},
    };
    struct record record = {.seq = 1, .ops = ops, .n_ops = 5};
    assert_int_equal(state_apply(state, &record, NULL), 0);
}

static void assert_same(const struct state *a, const struct state *b)
{
    struct buf x = {0};
    struct buf y = {0};
    assert_int_equal(state_encode(a, &x, NULL), 0);
    assert_int_equal(state_encode(b, &y, NULL), 0);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.data, y.data, x.len);
    buf_release(&x);
    buf_release(&y);
}

static void state__survives_each_failed_allocation(void **unused)
{
    struct state state = {0};
    make_state(&state);
    struct op ops[] = {
        {.kind = OP_PUBLISH, .table = "ads", .version = 2},
        {.kind = OP_TAG, .table = "ads", .version = 2, .name = "golden"},
        {.kind = OP_PIN, .table = "user", .version = 1, .name = "host"},
        {.kind = OP_PUBLISH, .table = "new", .version = 1},
    };
    struct record record = {.seq = 2, .ops = ops, .n_ops = 4};
    bool was_hit = true;
    unsigned nth = 1;
    for (; was_hit; nth++) {
        struct state copy = {0};
        struct state before = {0};
        assert_int_equal(state_copy(&state, &before), 0);
        failing_malloc_arm(nth);
        int copied = state_copy(&state, &copy);
        int applied = copied ? -ENOMEM : state_apply(&copy, &record, NULL);
        was_hit = failing_malloc_disarm();
        assert_int_equal(applied, was_hit ? -ENOMEM : 0);
        if (applied && !copied)
            assert_same(&copy, &before);
        assert_same(&state, &before);
        state_release(&copy);
        state_release(&before);
    }
    assert_true(nth > 15);
    state_release(&state);
}

static void snapshot__fails_cleanly_without_memory(void **unused)
{
    struct state state = {0};
    struct buf good = {0};
    make_state(&state);
    assert_int_equal(state_encode(&state, &good, NULL), 0);
    bool was_hit = true;
    for (unsigned nth = 1; was_hit; nth++) {
        struct buf text = {0};
        struct state back = {0};
        struct err err = {0};
        failing_malloc_arm(nth);
        int encoded = state_encode(&state, &text, &err);
        int decoded = state_decode(good.data, good.len, "s", &back, &err);
        was_hit = failing_malloc_disarm();
        assert_true(encoded == 0 || encoded == -ENOMEM);
        assert_true(decoded == 0 || is_refusal(decoded));
        assert_int_equal(encoded || decoded, was_hit);
        assert_int_equal(encoded ? 0 : good.len, text.len);
        buf_release(&text);
        state_release(&back);
    }
    buf_release(&good);
    state_release(&state);
}

static void record__fails_cleanly_without_memory(void **unused)
{
    struct op op = {.kind = OP_ACTIVATE, .table = "ads", .version = 1};
    struct record record = {.seq = 1,
                            .nonce = "00112233445566778899aabbccddeeff",
                            .author = (char *)"a@h",
                            .reason = (char *)"r",
                            .ops = &op,
                            .n_ops = 1};
    struct buf good = {0};
    assert_int_equal(record_encode(&record, &good, NULL), 0);
    bool was_hit = true;
    for (unsigned nth = 1; was_hit; nth++) {
        struct buf text = {0};
        struct record back = {0};
        failing_malloc_arm(nth);
        int encoded = record_encode(&record, &text, NULL);
        int decoded = record_decode(good.data, good.len, "r", &back, NULL);
        was_hit = failing_malloc_disarm();
        assert_true(encoded == 0 || encoded == -ENOMEM);
        assert_true(decoded == 0 || is_refusal(decoded));
        assert_int_equal(encoded || decoded, was_hit);
        buf_release(&text);
        record_release(&back);
    }
    buf_release(&good);
}

static void heartbeat__fails_cleanly_without_memory(void **unused)
{
    struct node_version version = {.version = 1, .state = NODE_FAILED, .reason = (char *)"why"};
    struct node_table table = {.name = "t", .versions = &version, .n_versions = 1};
    struct heartbeat heartbeat = {
        .node = "h", .labels = {(char *)"l"}, .n_labels = 1, .tables = &table, .n_tables = 1};
    struct buf good = {0};
    assert_int_equal(heartbeat_encode(&heartbeat, &good, NULL), 0);
    bool was_hit = true;
    for (unsigned nth = 1; was_hit; nth++) {
        struct buf text = {0};
        struct heartbeat back = {0};
        failing_malloc_arm(nth);
        int encoded = heartbeat_encode(&heartbeat, &text, NULL);
        int decoded = heartbeat_decode(good.data, good.len, "h", &back, NULL);
        was_hit = failing_malloc_disarm();
        assert_true(encoded == 0 || encoded == -ENOMEM);
        assert_true(decoded == 0 || is_refusal(decoded));
        assert_int_equal(encoded || decoded, was_hit);
        buf_release(&text);
        heartbeat_release(&back);
    }
    buf_release(&good);
}

/* Open, append twice, close, with one allocation failing: the log holds exactly what was reported. */
static bool append_round(unsigned nth)
{
    struct log_fixture f;
    struct manifest *manifest = NULL;
    unsigned n_done = 0;
    log_fixture_open(&f);
    failing_malloc_arm(nth);
    int opened = manifest_open(f.plain, &manifest, NULL);
    for (int i = 0; i < 2 && !opened; i++) {
        struct next_version next = {.table = "ads"};
        n_done += manifest_append(manifest, "", build_next, &next, NULL, NULL) == 0;
    }
    bool was_hit = failing_malloc_disarm();
    if (!was_hit)
        assert_int_equal(n_done, 2);
    manifest_close(manifest);
    manifest = must_open(f.plain);
    assert_int_equal(manifest_state(manifest)->seq, n_done);
    must_append(manifest, "ads");
    manifest_close(manifest);
    log_fixture_close(&f);
    return was_hit;
}

static void append__is_recorded_as_reported_without_memory(void **unused)
{
    unsigned nth = 1;
    while (append_round(nth))
        nth++;
    assert_true(nth > 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state__survives_each_failed_allocation),
        cmocka_unit_test(snapshot__fails_cleanly_without_memory),
        cmocka_unit_test(record__fails_cleanly_without_memory),
        cmocka_unit_test(heartbeat__fails_cleanly_without_memory),
        cmocka_unit_test(append__is_recorded_as_reported_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
