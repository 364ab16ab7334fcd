/* SPDX-License-Identifier: Apache-2.0 */
/* The fold: every rule, taken and refused, and what a random history never breaks. */
#include "unit.h"

#include "base/scope.h"
#include "state_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void publish__makes_a_candidate(void **unused)
{
    struct state state = {0};
    must(&state, publish(3, 0));
    assert_int_equal(state.n_tables, 1);
    assert_int_equal(ads(&state)->current, 0);
    assert_int_equal(ads(&state)->keep, KEEP_DEFAULT);
    assert_int_equal(version(&state, 3)->state, VERSION_CANDIDATE);
    assert_int_equal(version(&state, 3)->n_keys, 30);
    assert_int_equal(version(&state, 3)->len, 300);
    assert_int_equal(version(&state, 3)->published_ns, 3600 * S);
    assert_null(version(&state, 2));
    state_release(&state);
}

static void publish__numbers_ascend_for_ever(void **unused)
{
    struct state state = {0};
    must(&state, publish(5, 0));
    refused(&state, publish(5, 0), -EEXIST, "has a version 5 already");
    refused(&state, publish(4, 0), -EPERM, "numbers ascend, the last is 5");
    must(&state, plain(OP_RETIRE, 5));
    must(&state, plain(OP_FORGET, 5));
    refused(&state, publish(5, 0), -EEXIST, "has a version 5 already");
    must(&state, publish(6, 0));
    state_release(&state);
}

static void publish__a_delta_lies_on_the_newest_good_version(void **unused)
{
    struct state state = {0};
    refused(&state, publish(2, 1), -ENOENT, "base 1 does not exist");
    release_versions(&state, 3);
    must(&state, publish(4, 3));
    refused(&state, publish(5, 3), -ESTALE, "4 is the newest good version now");
    must(&state, plain(OP_QUARANTINE, 4));
    assert_int_equal(table_state_newest(ads(&state)), 3);
    must(&state, publish(5, 3));
    must(&state, plain(OP_RETIRE, 5));
    refused(&state, publish(6, 5), -ESTALE, "3 is the newest");
    must(&state, publish(6, 3));
    must(&state, rollback(3, 2));
    refused(&state, publish(7, 3), -ESTALE, "2 is the newest"); /* 6 lies on 3 */
    state_release(&state);
}

static void activate__moves_current_and_previous(void **unused)
{
    struct state state = {0};
    must(&state, publish(1, 0));
    must(&state, activate(1));
    assert_int_equal(ads(&state)->current, 1);
    assert_int_equal(ads(&state)->previous, 0);
    must(&state, publish(2, 0));
    must(&state, activate(2));
    assert_int_equal(ads(&state)->current, 2);
    assert_int_equal(ads(&state)->previous, 1);
    assert_int_equal(version(&state, 1)->state, VERSION_FORMER);
    assert_int_equal(version(&state, 2)->state, VERSION_CURRENT);
    must(&state, activate(1)); /* backwards without a rollback: nothing is quarantined */
    assert_int_equal(ads(&state)->current, 1);
    assert_int_equal(ads(&state)->previous, 2);
    assert_false(version(&state, 2)->quarantined);
    must(&state, activate(1)); /* again: no change */
    assert_int_equal(ads(&state)->previous, 2);
    state_release(&state);
}

static void activate__is_refused_for_bad_and_gone_versions(void **unused)
{
    struct state state = {0};
    refused(&state, activate(1), -ENOENT, "there is no table ads");
    release_versions(&state, 3);
    refused(&state, activate(9), -ENOENT, "has no version 9");
    must(&state, plain(OP_QUARANTINE, 2));
    refused(&state, activate(2), -EPERM, "is quarantined");
    must(&state, plain(OP_RETIRE, 1));
    refused(&state, activate(1), -EPERM, "is retired");
    refused(&state, forced(activate(1)), -EPERM, "is retired");
    must(&state, plain(OP_FORGET, 1));
    refused(&state, forced(activate(1)), -EPERM, "its files gone");
    must(&state, forced(activate(2)));
    assert_int_equal(ads(&state)->current, 2);
    assert_true(version(&state, 2)->quarantined); /* only a release ends a quarantine */
    state_release(&state);
}

static void rollback__quarantines_what_it_leaves(void **unused)
{
    struct state state = {0};
    release_versions(&state, 4);
    must(&state, rollback(4, 3));
    assert_int_equal(ads(&state)->current, 3);
    assert_true(version(&state, 4)->quarantined);
    assert_int_equal(ads(&state)->previous, 2); /* not 4 */
    refused(&state, activate(4), -EPERM, "is quarantined");
    refused(&state, rollback(3, 4), -EPERM, "is quarantined");
    must(&state, rollback(3, 2));
    assert_int_equal(ads(&state)->previous, 1);
    must(&state, rollback(2, 1));
    assert_int_equal(ads(&state)->previous, 0); /* none is good */
    must(&state, plain(OP_RELEASE, 3));
    assert_int_equal(ads(&state)->previous, 3);
    must(&state, forced(rollback(1, 4)));
    assert_int_equal(ads(&state)->current, 4);
    assert_int_equal(ads(&state)->previous, 3); /* 1 is quarantined now */
    state_release(&state);
}

static void quarantine__holds_for_deltas_on_the_version(void **unused)
{
    struct state state = {0};
    release_versions(&state, 1);
    must(&state, publish(2, 1));
    must(&state, activate(2));
    must(&state, publish(3, 2));
    must(&state, publish(4, 3));
    assert_int_equal(table_state_newest(ads(&state)), 4);
    must(&state, rollback(2, 1)); /* 3 and 4 lie on what was left */
    assert_int_equal(table_state_newest(ads(&state)), 1);
    assert_ptr_equal(table_state_find_bad(ads(&state), version(&state, 4)), version(&state, 2));
    assert_false(table_state_is_kept(ads(&state), version(&state, 4)));
    refused(&state, activate(3), -EPERM, "lies on version 2, which is quarantined");
    refused(&state, rollback(1, 4), -EPERM, "lies on version 2, which is quarantined");
    refused(&state, publish(5, 4), -ESTALE, "1 is the newest good version now");
    must(&state, forced(activate(4)));
    must(&state, activate(1));
    assert_int_equal(ads(&state)->previous, 0); /* 4 was current, but is not good */
    must(&state, plain(OP_RELEASE, 2));
    assert_int_equal(ads(&state)->previous, 4);
    assert_int_equal(table_state_newest(ads(&state)), 4);
    must(&state, plain(OP_QUARANTINE, 2));
    must(&state, plain(OP_RETIRE, 2)); /* its content lives on in 3 and 4 */
    refused(&state, activate(3), -EPERM, "build a full version");
    must(&state, plain(OP_FORGET, 2));
    refused(&state, activate(3), -EPERM, "build a full version");
    must(&state, publish(5, 1));
    must(&state, activate(5));
    state_release(&state);
}

static void rollback__is_fenced_by_the_version_it_leaves(void **unused)
{
    struct state state = {0};
    must(&state, publish(1, 0));
    refused(&state, rollback(1, 1), -ESTALE, "current version is 0, not 1");
    must(&state, activate(1));
    must(&state, publish(2, 0));
    must(&state, activate(2));
    refused(&state, rollback(1, 2), -ESTALE, "current version is 2, not 1");
    refused(&state, rollback(2, 2), -EPERM, "the current one already");
    refused(&state, rollback(2, 7), -ENOENT, "has no version 7");
    must(&state, plain(OP_RETIRE, 1));
    refused(&state, rollback(2, 1), -EPERM, "is retired");
    state_release(&state);
}

static void rollback__may_go_to_any_retained_version(void **unused)
{
    struct state state = {0};
    release_versions(&state, 5);
    must(&state, rollback(5, 2));
    assert_int_equal(ads(&state)->current, 2);
    assert_int_equal(ads(&state)->previous, 4); /* current most recently, and good */
    must(&state, publish(6, 0));
    must(&state, activate(6));
    assert_int_equal(ads(&state)->previous, 2);
    must(&state, rollback(6, 2));
    assert_int_equal(ads(&state)->previous, 4);
    state_release(&state);
}

static void previous__follows_the_order_of_the_log_not_of_clocks(void **unused)
{
    struct state state = {0};
    struct err err = {0};
    release_versions(&state, 2);
    must(&state, publish(3, 0));
    struct op op = activate(3);
    assert_int_equal(apply_at(&state, 5, &op, 1, &err), 0); /* a clock far behind */
    must(&state, publish(4, 0));
    op = activate(4);
    assert_int_equal(apply_at(&state, 0, &op, 1, &err), 0);
    assert_int_equal(ads(&state)->previous, 3);
    assert_true(version(&state, 4)->activated_ns > version(&state, 3)->activated_ns);
    assert_true(version(&state, 3)->activated_ns > version(&state, 2)->activated_ns);
    state_release(&state);
}

static void quarantine__is_lifted_by_release_alone(void **unused)
{
    struct state state = {0};
    release_versions(&state, 2);
    refused(&state, plain(OP_QUARANTINE, 2), -EPERM, "is current: roll back");
    refused(&state, plain(OP_RELEASE, 1), -EPERM, "is not quarantined");
    must(&state, plain(OP_QUARANTINE, 1));
    must(&state, plain(OP_QUARANTINE, 1));
    assert_int_equal(ads(&state)->previous, 0);
    must(&state, plain(OP_RELEASE, 1));
    assert_int_equal(ads(&state)->previous, 1);
    must(&state, activate(1));
    refused(&state, plain(OP_QUARANTINE, 7), -ENOENT, "has no version 7");
    must(&state, plain(OP_RETIRE, 2));
    refused(&state, plain(OP_QUARANTINE, 2), -EPERM, "retired");
    refused(&state, plain(OP_RELEASE, 2), -EPERM, "retired");
    state_release(&state);
}

static void pin__holds_a_node_or_a_label(void **unused)
{
    struct state state = {0};
    static const char *const labels[] = {"eu", "canary"};
    release_versions(&state, 4);
    must(&state, named(OP_PIN, 2, "host-1"));
    must(&state, named(OP_PIN, 3, "label:canary"));
    assert_int_equal(table_state_wanted(ads(&state), "host-1", labels, 2, 0), 2);
    assert_int_equal(table_state_wanted(ads(&state), "host-2", labels, 2, 0), 3);
    assert_int_equal(table_state_wanted(ads(&state), "host-2", labels, 1, 0), 4);
    assert_int_equal(table_state_wanted(ads(&state), "canary", NULL, 0, 0), 4);
    must(&state, named(OP_PIN, 1, "host-1")); /* moved */
    assert_int_equal(ads(&state)->n_pins, 2);
    assert_int_equal(table_state_wanted(ads(&state), "host-1", NULL, 0, 0), 1);
    must(&state, named(OP_PIN, 2, "label:eu")); /* the node's first label wins */
    assert_int_equal(table_state_wanted(ads(&state), "host-2", labels, 2, 0), 2);
    must(&state, named(OP_UNPIN, 0, "host-1"));
    assert_int_equal(table_state_wanted(ads(&state), "host-1", NULL, 0, 0), 4);
    must(&state,
         named(OP_UNPIN, 0, "host-1")); /* may be pinned by hand, which the log does not know */
    assert_int_equal(ads(&state)->n_pins, 2);
    refused(&state, named(OP_PIN, 9, "h"), -ENOENT, "has no version 9");
    refused(&state, named(OP_PIN, 1, "../h"), -EINVAL, "node name");
    must(&state, plain(OP_QUARANTINE, 1));
    must(&state, named(OP_PIN, 1, "host-3")); /* to look for what is wrong with it */
    state_release(&state);
}

static void tag__names_a_version(void **unused)
{
    struct state state = {0};
    uint64_t found = 0;
    struct err err = {0};
    release_versions(&state, 3);
    must(&state, named(OP_TAG, 1, "stable"));
    must(&state, named(OP_TAG, 2, "golden"));
    must(&state, named(OP_TAG, 3, "stable"));
    assert_int_equal(ads(&state)->n_tags, 2);
    assert_int_equal(table_state_resolve(ads(&state), "stable", &found, &err), 0);
    assert_int_equal(found, 3);
    must(&state, named(OP_UNTAG, 0, "stable"));
    assert_int_equal(table_state_resolve(ads(&state), "stable", &found, &err), -ENOENT);
    assert_int_equal(table_state_resolve(ads(&state), "golden", &found, &err), 0);
    refused(&state, named(OP_UNTAG, 0, "stable"), -ENOENT, "has no tag stable");
    refused(&state, named(OP_TAG, 1, "17"), -EINVAL, "only digits");
    state_release(&state);
}

static void resolve__takes_numbers_words_and_tags(void **unused)
{
    struct state state = {0};
    uint64_t found = 0;
    struct err err = {0};
    must(&state, publish(1, 0));
    assert_int_equal(table_state_resolve(ads(&state), "current", &found, &err), -ENOENT);
    must(&state, activate(1));
    assert_int_equal(table_state_resolve(ads(&state), "previous", &found, &err), -ENOENT);
    must(&state, publish(2, 0));
    must(&state, activate(2));
    assert_int_equal(table_state_resolve(ads(&state), "current", &found, &err), 0);
    assert_int_equal(found, 2);
    assert_int_equal(table_state_resolve(ads(&state), "previous", &found, &err), 0);
    assert_int_equal(found, 1);
    assert_int_equal(table_state_resolve(ads(&state), "01", &found, &err), 0);
    assert_int_equal(found, 1);
    static const char *const bad[] = {"", "3", "0", "-1", "v1", "99999999999999999999999", "1 "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(table_state_resolve(ads(&state), bad[i], &found, &err), -ENOENT);
    state_release(&state);
}

static void retire__refuses_what_is_in_use(void **unused)
{
    struct state state = {0};
    release_versions(&state, 4);
    must(&state, named(OP_PIN, 1, "h"));
    must(&state, named(OP_TAG, 2, "t"));
    refused(&state, plain(OP_RETIRE, 4), -EPERM, "is current");
    refused(&state, plain(OP_RETIRE, 1), -EPERM, "is pinned or tagged");
    refused(&state, plain(OP_RETIRE, 2), -EPERM, "is pinned or tagged");
    refused(&state, plain(OP_RETIRE, 9), -ENOENT, "has no version 9");
    refused(&state, plain(OP_FORGET, 3), -EPERM, "is not retired");
    must(&state, plain(OP_RETIRE, 3));
    assert_int_equal(ads(&state)->previous, 2);
    must(&state, plain(OP_RETIRE, 3)); /* two gcs at once */
    refused(&state, named(OP_PIN, 3, "h2"), -EPERM, "is retired");
    refused(&state, named(OP_TAG, 3, "t2"), -EPERM, "is retired");
    must(&state, plain(OP_FORGET, 3));
    must(&state, plain(OP_FORGET, 3));
    must(&state, plain(OP_RETIRE, 3));
    assert_int_equal(version(&state, 3)->state, VERSION_FORGOTTEN);
    must(&state, named(OP_UNPIN, 0, "h"));
    must(&state, plain(OP_RETIRE, 1));
    state_release(&state);
}

/* Only the newest of what is forgotten stays, and what a delta lies on; numbers are never used again all the same. */
static void forget__leaves_the_newest_in_the_state(void **unused)
{
    struct state state = {0};
    uint64_t last = FORGOTTEN_KEPT + 12;
    must(&state, publish(1, 0));
    must(&state, publish(2, 1));
    for (uint64_t v = 3; v <= last; v++)
        must(&state, publish(v, 0));
    for (uint64_t v = 1; v <= last; v++) {
        if (v == 2)
            continue;
        must(&state, plain(OP_RETIRE, v));
        must(&state, plain(OP_FORGET, v));
        struct err err = {0};
        assert_int_equal(state_audit(&state, &err), 0);
    }
    assert_int_equal(ads(&state)->n_versions, 2 + FORGOTTEN_KEPT);
    assert_int_equal(version(&state, 1)->state, VERSION_FORGOTTEN); /* 2 lies on it */
    assert_int_equal(version(&state, 2)->state, VERSION_CANDIDATE);
    assert_null(version(&state, last - FORGOTTEN_KEPT));
    assert_non_null(version(&state, last - FORGOTTEN_KEPT + 1));
    refused(&state, publish(last, 0), -EEXIST, "has a version");
    refused(&state, publish(3, 0), -EPERM, "numbers ascend");
    refused(&state, activate(3), -ENOENT, "has no version 3");
    must(&state, plain(OP_RETIRE, 2));
    must(&state, plain(OP_FORGET, 2));
    assert_int_equal(ads(&state)->n_versions, FORGOTTEN_KEPT);
    assert_null(version(&state, 1));
    must(&state, publish(last + 1, 0));
    state_release(&state);
}

static void wanted__waits_for_the_moment_of_the_switch(void **unused)
{
    struct state state = {0};
    struct err err = {0};
    release_versions(&state, 2);
    must(&state, publish(3, 0));
    struct op op = effective(activate(3), 100000 * S);
    assert_int_equal(apply_at(&state, 99990 * S, &op, 1, &err), 0);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 100000 * S - 1), 2);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 100000 * S), 3);
    /* What is still served must not go, and stays served when the next switch comes before this one took effect. */
    op = plain(OP_RETIRE, 2);
    assert_int_equal(apply_at(&state, 99991 * S, &op, 1, &err), -EPERM);
    struct op back = effective(rollback(3, 1), 100005 * S);
    assert_int_equal(apply_at(&state, 99995 * S, &back, 1, &err), 0);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 100004 * S), 2);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 100005 * S), 1);
    op = plain(OP_RETIRE, 2);
    assert_int_equal(apply_at(&state, 100006 * S, &op, 1, &err), 0);
    assert_int_equal(ads(&state)->before, 0);
    state_release(&state);
}

/* A writer with a wrong clock meant it for much later. */
static void wanted__comes_sooner_when_it_is_activated_again(void **unused)
{
    struct state state = {0};
    struct err err = {0};
    release_versions(&state, 2);
    must(&state, publish(3, 0));
    struct op op = effective(activate(3), 100000 * S);
    assert_int_equal(apply_at(&state, 90000 * S, &op, 1, &err), 0);
    op = effective(activate(3), 100001 * S); /* later: no */
    assert_int_equal(apply_at(&state, 90001 * S, &op, 1, &err), 0);
    assert_int_equal(ads(&state)->effective_ns, 100000 * S);
    op = effective(activate(3), 90003 * S);
    assert_int_equal(apply_at(&state, 90002 * S, &op, 1, &err), 0);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 90003 * S - 1), 2);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 90003 * S), 3);
    op = effective(activate(3), 0); /* it has taken effect: no change */
    assert_int_equal(apply_at(&state, 90004 * S, &op, 1, &err), 0);
    assert_int_equal(ads(&state)->effective_ns, 90003 * S);
    state_release(&state);
}

static void wanted__is_nothing_before_the_first_switch(void **unused)
{
    struct state state = {0};
    struct err err = {0};
    must(&state, publish(1, 0));
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 0), 0);
    struct op op = effective(activate(1), 9000 * S);
    assert_int_equal(apply_at(&state, 8000 * S, &op, 1, &err), 0);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 8999 * S), 0);
    assert_int_equal(table_state_wanted(ads(&state), "h", NULL, 0, 9000 * S), 1);
    state_release(&state);
}

/* Which of the versions 1 to 9 are kept, as digits. */
static const char *kept(const struct state *state)
{
    static char text[16];
    size_t n = 0;
    for (uint64_t v = 1; v <= 9; v++)
        if (version(state, v) && table_state_is_kept(ads(state), version(state, v)))
            text[n++] = (char)('0' + v);
    text[n] = '\0';
    return text;
}

static void keep__counts_good_former_versions(void **unused)
{
    struct state state = {0};
    release_versions(&state, 6);
    assert_string_equal(kept(&state), "3456");
    must(&state, (struct op){.kind = OP_KEEP, .table = "ads", .keep = 1});
    assert_string_equal(kept(&state), "56");
    must(&state, (struct op){.kind = OP_KEEP, .table = "ads", .keep = 0});
    assert_string_equal(kept(&state), "56"); /* previous always */
    must(&state, (struct op){.kind = OP_KEEP, .table = "ads", .keep = 2});
    must(&state, named(OP_TAG, 1, "gold"));
    must(&state, named(OP_PIN, 2, "h"));
    assert_string_equal(kept(&state), "12456");
    must(&state, rollback(6, 5)); /* 6 is looked into until the next switch */
    assert_string_equal(kept(&state), "123456");
    must(&state, publish(7, 0));
    assert_string_equal(kept(&state), "1234567");
    must(&state, publish(8, 7));
    must(&state, activate(8));
    assert_string_equal(kept(&state), "124578"); /* 7: base of 8, though passed over */
    must(&state, publish(9, 0));
    must(&state, activate(9));
    assert_string_equal(kept(&state), "125789"); /* 7: 8 is kept */
    must(&state, plain(OP_QUARANTINE, 8));
    assert_string_equal(kept(&state), "1245789"); /* 8: served before 9, so its base too */
    must(&state, plain(OP_RETIRE, 8));
    assert_string_equal(kept(&state), "12459");
    state_release(&state);
}

static void keep__lets_passed_over_candidates_go(void **unused)
{
    struct state state = {0};
    must(&state, publish(1, 0));
    must(&state, publish(2, 0));
    must(&state, publish(3, 0));
    assert_string_equal(kept(&state), "123");
    must(&state, activate(2));
    assert_string_equal(kept(&state), "23");
    must(&state, plain(OP_QUARANTINE, 3));
    assert_string_equal(kept(&state), "2");
    refused(&state, (struct op){.kind = OP_KEEP, .table = "none", .keep = 1}, -ENOENT, "no table");
    state_release(&state);
}

static void record__takes_effect_together_or_not_at_all(void **unused)
{
    struct state state = {0};
    struct err err = {0};
    struct op ops[] = {publish(1, 0), activate(1), publish(1, 0), activate(1)};
    strcpy(ops[2].table, "user");
    strcpy(ops[3].table, "user");
    assert_int_equal(apply_at(&state, S, ops, 4, &err), 0);
    assert_int_equal(state.n_tables, 2);
    assert_int_equal(ads(&state)->current, 1);
    assert_int_equal(state_find_table(&state, "user")->current, 1);
    struct op bad[] = {publish(2, 0), publish(2, 0), publish(1, 0), activate(9)};
    strcpy(bad[1].table, "user");
    strcpy(bad[2].table, "zeta");
    struct buf before = {0};
    struct buf after = {0};
    state_encode(&state, &before, NULL);
    assert_int_equal(apply_at(&state, S, bad, 4, &err), -ENOENT);
    assert_non_null(strstr(err.text, "activate: table ads has no version 9"));
    state_encode(&state, &after, NULL);
    assert_int_equal(before.len, after.len);
    assert_memory_equal(before.data, after.data, before.len);
    buf_release(&before);
    buf_release(&after);
    struct record skip = {.seq = 5, .ops = ops, .n_ops = 4};
    assert_int_equal(state_apply(&state, &skip, &err), -EBADMSG);
    assert_string_equal(err.text, "expected record 2, found 5");
    state_release(&state);
    state_release(NULL);
}

static void copy__stands_alone(void **unused)
{
    struct state state = {0};
    struct state copy = {0};
    release_versions(&state, 2);
    must(&state, named(OP_TAG, 1, "t"));
    assert_int_equal(state_copy(&state, &copy), 0);
    must(&state, named(OP_UNTAG, 0, "t"));
    must(&state, rollback(2, 1));
    assert_int_equal(ads(&copy)->n_tags, 1);
    assert_int_equal(ads(&copy)->current, 2);
    state_release(&state);
    assert_int_equal(version(&copy, 2)->n_keys, 20);
    state_release(&copy);
}

static uint64_t random_below(uint64_t *seed, uint64_t n)
{
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (*seed >> 33) % n;
}

static struct op random_op(const struct state *state, uint64_t *seed)
{
    static const char *const tables[] = {"ads", "user", "z"};
    static const char *const names[] = {"stable", "golden", "host1"};
    struct op op = {.kind = (enum op_kind)random_below(seed, OP_KEEP + 1)};
    strcpy(op.table, tables[random_below(seed, 3)]);
    strcpy(op.name, names[random_below(seed, 3)]);
    const struct table_state *table = state_find_table(state, op.table);
    size_t n = table ? table->n_versions : 0;
    op.version = 1 + random_below(seed, n + 2);
    op.from = table ? table->current : 1;
    if (random_below(seed, 2) && table)
        op.base = table_state_newest(table);
    op.force = random_below(seed, 4) == 0;
    op.effective_ns = (int64_t)random_below(seed, 5000);
    op.keep = (uint32_t)random_below(seed, 4);
    op.canary = random_below(seed, 2);
    if (op.kind == OP_PUBLISH && random_below(seed, 4))
        op.version = n + 1;
    return op;
}

/* A snapshot of it reads back as itself, which also audits it. */
static void assert_round_trip(const struct state *state)
{
    struct buf text = {0};
    struct buf again = {0};
    struct state back = {0};
    struct err err = {0};
    assert_int_equal(state_encode(state, &text, &err), 0);
    int ret = state_decode(text.data, text.len, "snapshot", &back, &err);
    if (ret)
        print_error("%s\n", err.text);
    assert_int_equal(ret, 0);
    assert_int_equal(state_encode(&back, &again, &err), 0);
    assert_int_equal(text.len, again.len);
    assert_memory_equal(text.data, again.data, text.len);
    buf_release(&text);
    buf_release(&again);
    state_release(&back);
}

static void fold__keeps_its_invariants_over_random_histories(void **unused)
{
    unsigned n_taken = 0;
    for (uint64_t history = 1; history <= 40; history++) {
        struct state state = {0};
        uint64_t seed = history;
        for (int i = 0; i < 150; i++) {
            struct op ops[3];
            struct err err = {0};
            size_t n = 1 + random_below(&seed, 3);
            for (size_t j = 0; j < n; j++)
                ops[j] = random_op(&state, &seed);
            struct record record = {.seq = state.seq + 1,
                                    .time_ns = (int64_t)random_below(&seed, 5000),
                                    .ops = ops,
                                    .n_ops = n};
            int checked = state_check(&state, &record, NULL);
            int ret = state_apply(&state, &record, &err);
            assert_int_equal(ret, checked);
            assert_int_equal(err.code, ret);
            n_taken += ret == 0;
            assert_int_equal(state_audit(&state, &err), 0);
        }
        for (size_t t = 0; t < state.n_tables; t++) {
            const struct table_state *table = &state.tables[t];
            if (table->previous)
                assert_null(table_state_find_bad(table, table_state_find(table, table->previous)));
        }
        assert_round_trip(&state);
        state_release(&state);
    }
    assert_true(n_taken > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publish__makes_a_candidate),
        cmocka_unit_test(publish__numbers_ascend_for_ever),
        cmocka_unit_test(publish__a_delta_lies_on_the_newest_good_version),
        cmocka_unit_test(activate__moves_current_and_previous),
        cmocka_unit_test(activate__is_refused_for_bad_and_gone_versions),
        cmocka_unit_test(rollback__quarantines_what_it_leaves),
        cmocka_unit_test(quarantine__holds_for_deltas_on_the_version),
        cmocka_unit_test(rollback__is_fenced_by_the_version_it_leaves),
        cmocka_unit_test(rollback__may_go_to_any_retained_version),
        cmocka_unit_test(previous__follows_the_order_of_the_log_not_of_clocks),
        cmocka_unit_test(quarantine__is_lifted_by_release_alone),
        cmocka_unit_test(pin__holds_a_node_or_a_label),
        cmocka_unit_test(tag__names_a_version),
        cmocka_unit_test(resolve__takes_numbers_words_and_tags),
        cmocka_unit_test(retire__refuses_what_is_in_use),
        cmocka_unit_test(forget__leaves_the_newest_in_the_state),
        cmocka_unit_test(wanted__waits_for_the_moment_of_the_switch),
        cmocka_unit_test(wanted__comes_sooner_when_it_is_activated_again),
        cmocka_unit_test(wanted__is_nothing_before_the_first_switch),
        cmocka_unit_test(keep__counts_good_former_versions),
        cmocka_unit_test(keep__lets_passed_over_candidates_go),
        cmocka_unit_test(record__takes_effect_together_or_not_at_all),
        cmocka_unit_test(copy__stands_alone),
        cmocka_unit_test(fold__keeps_its_invariants_over_random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
