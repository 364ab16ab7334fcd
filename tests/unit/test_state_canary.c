/* SPDX-License-Identifier: Apache-2.0 */
/* Canary pins: when they count, what ends them, and what they do not disturb. */
#include "unit.h"

#include "base/scope.h"
#include "state_fixture.h"

#include <errno.h>

static struct op canary(uint64_t version, const char *name)
{
    struct op op = named(OP_PIN, version, name);
    op.canary = true;
    return op;
}

static uint64_t wanted(const struct state *state, const char *node, int64_t now_ns)
{
    static const char *const labels[] = {"canary"};
    return table_state_wanted(ads(state), node, labels, node[0] == 'c', now_ns);
}

/* What a node with the label canary and one without serve. */
static void assert_wanted(const struct state *state, int64_t now_ns, uint64_t tried, uint64_t rest)
{
    assert_int_equal(wanted(state, "canary-1", now_ns), tried);
    assert_int_equal(wanted(state, "host-1", now_ns), rest);
}

/* One record, at a time of its own. */
static void must_at(struct state *state, int64_t time_ns, const struct op *ops, size_t n)
{
    struct err err = {0};
    int ret = apply_at(state, time_ns, ops, n, &err);
    if (ret)
        print_error("%s\n", err.text);
    assert_int_equal(ret, 0);
    assert_int_equal(state_audit(state, &err), 0);
}

/* Versions 1 to 3, the last current; 4 is tried by those labelled canary, as `fkv publish --canary` records it. */
static void start_trial(struct state *state)
{
    const struct op ops[] = {publish(4, 0), canary(4, "label:canary")};
    release_versions(state, 3);
    must_at(state, 100 * S, ops, 2);
    assert_int_equal(table_state_canary(ads(state)), 4);
}

static void canary__is_published_and_tried_by_one_record(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    assert_wanted(&state, 100 * S, 4, 3);
    assert_wanted(&state, INT64_MAX, 4, 3);
    assert_true(table_state_is_kept(ads(&state), version(&state, 4)));
    refused(&state, plain(OP_RETIRE, 4), -EPERM, "is pinned or tagged");
    state_release(&state);
}

static void canary__of_the_first_version_needs_no_current_one(void **unused)
{
    struct state state = {0};
    const struct op ops[] = {publish(1, 0), canary(1, "label:canary")};
    must_at(&state, S, ops, 2);
    assert_wanted(&state, S, 1, 0);
    state_release(&state);
}

static void canary__is_promoted_by_activate_without_a_moment_between(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must_at(&state, 200 * S, (struct op[]){effective(activate(4), 210 * S)}, 1);
    assert_int_equal(table_state_canary(ads(&state)), 0);
    assert_wanted(&state, 200 * S, 4, 3);
    assert_wanted(&state, 210 * S - 1, 4, 3);
    assert_wanted(&state, 210 * S, 4, 4);
    assert_int_equal(ads(&state)->n_pins, 1);
    /* The next operation on the table takes out what is over, and no later switch brings it back. */
    must_at(&state, 300 * S, (struct op[]){plain(OP_KEEP, 0)}, 1);
    assert_int_equal(ads(&state)->n_pins, 0);
    must_at(&state, 400 * S, (struct op[]){activate(3)}, 1);
    assert_wanted(&state, 400 * S, 3, 3);
    state_release(&state);
}

static void canary__ends_at_once_when_the_switch_is_at_once(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must_at(&state, 200 * S, (struct op[]){activate(4)}, 1);
    assert_int_equal(ads(&state)->n_pins, 0);
    assert_wanted(&state, 200 * S, 4, 4);
    state_release(&state);
}

static void canary__goes_on_when_its_promotion_is_called_off_in_time(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must_at(&state, 200 * S, (struct op[]){effective(activate(4), 210 * S)}, 1);
    must_at(&state, 205 * S, (struct op[]){effective(activate(3), 215 * S)}, 1);
    for (int64_t t = 205; t <= 220; t += 5)
        assert_wanted(&state, t * S, 4, 3);
    assert_int_equal(table_state_canary(ads(&state)), 4);
    state_release(&state);
}

static void canary__does_not_come_back_after_the_switch_that_promoted_it(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must_at(&state, 200 * S, (struct op[]){effective(activate(4), 210 * S)}, 1);
    must_at(&state, 210 * S, (struct op[]){effective(activate(3), 220 * S)}, 1);
    assert_wanted(&state, 215 * S, 4, 4);
    assert_wanted(&state, 220 * S, 3, 3);
    assert_int_equal(ads(&state)->n_pins, 0);
    state_release(&state);
}

static void canary__is_overtaken_by_a_newer_version(void **unused)
{
    struct state state = {0};
    const struct op ops[] = {publish(5, 0), effective(activate(5), 210 * S)};
    start_trial(&state);
    must_at(&state, 200 * S, ops, 2);
    assert_wanted(&state, 209 * S, 4, 3);
    assert_wanted(&state, 210 * S, 5, 5);
    /* It is served until then, so it is kept; afterwards nothing holds it. */
    struct op retire = plain(OP_RETIRE, 4);
    struct err err = {0};
    assert_true(table_state_is_kept(ads(&state), version(&state, 4)));
    assert_int_equal(apply_at(&state, 209 * S, &retire, 1, &err), -EPERM);
    must_at(&state, 210 * S, &retire, 1);
    assert_int_equal(ads(&state)->n_pins, 0);
    state_release(&state);
}

static void canary__is_aborted_by_quarantine(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must_at(&state, 200 * S, (struct op[]){plain(OP_QUARANTINE, 4)}, 1);
    assert_wanted(&state, 200 * S, 3, 3);
    assert_int_equal(ads(&state)->n_pins, 0);
    /* The end is for good: a release does not start it again. */
    must_at(&state, 300 * S, (struct op[]){plain(OP_RELEASE, 4)}, 1);
    assert_wanted(&state, 300 * S, 3, 3);
    must_at(&state, 400 * S, (struct op[]){canary(4, "label:canary")}, 1);
    assert_wanted(&state, 400 * S, 4, 3);
    state_release(&state);
}

static void canary__ends_with_the_version_it_lies_on(void **unused)
{
    struct state state = {0};
    const struct op ops[] = {publish(4, 3), canary(4, "label:canary")};
    release_versions(&state, 3);
    must_at(&state, 100 * S, ops, 2);
    must_at(&state, 200 * S, (struct op[]){effective(rollback(3, 2), 210 * S)}, 1);
    assert_wanted(&state, 205 * S, 3, 3);
    assert_wanted(&state, 210 * S, 2, 2);
    assert_int_equal(table_state_canary(ads(&state)), 0);
    state_release(&state);
}

static void canary__goes_on_through_a_rollback_of_another_version(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must_at(&state, 200 * S, (struct op[]){effective(rollback(3, 2), 210 * S)}, 1);
    assert_wanted(&state, 209 * S, 4, 3);
    assert_wanted(&state, 210 * S, 4, 2);
    state_release(&state);
}

static void canary__is_rolled_back_after_its_promotion(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must_at(&state, 200 * S, (struct op[]){effective(activate(4), 210 * S)}, 1);
    must_at(&state, 205 * S, (struct op[]){effective(rollback(4, 3), 215 * S)}, 1);
    for (int64_t t = 205; t <= 220; t += 5)
        assert_wanted(&state, t * S, 3, 3);
    state_release(&state);
}

static void canary__ends_by_unpin_and_by_a_pin_of_the_same_name(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must(&state, canary(4, "host-1"));
    assert_wanted(&state, 100 * S, 4, 4);
    must(&state, named(OP_UNPIN, 0, "host-1"));
    assert_wanted(&state, 100 * S, 4, 3);
    must(&state, named(OP_PIN, 4, "label:canary"));
    assert_int_equal(ads(&state)->n_pins, 1);
    assert_false(ads(&state)->pins[0].canary);
    assert_int_equal(table_state_canary(ads(&state)), 0);
    /* An ordinary pin holds beyond the activation. */
    must(&state, publish(5, 0));
    must(&state, activate(5));
    assert_wanted(&state, INT64_MAX, 4, 5);
    state_release(&state);
}

static void canary__follows_the_newest_version(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    must(&state, publish(5, 0));
    must(&state, canary(5, "host-1"));
    assert_wanted(&state, 100 * S, 4, 5);
    assert_int_equal(table_state_canary(ads(&state)), 5);
    must(&state, canary(5, "label:canary")); /* moved */
    assert_wanted(&state, 100 * S, 5, 5);
    assert_int_equal(ads(&state)->n_pins, 2);
    state_release(&state);
}

/* A canary pin that no longer counts hides neither the pins of later labels nor the fleet's version. */
static void canary__that_is_over_hides_nothing(void **unused)
{
    struct state state = {0};
    static const char *const labels[] = {"canary", "eu"};
    start_trial(&state);
    must_at(&state, 150 * S, (struct op[]){named(OP_PIN, 2, "label:eu")}, 1);
    assert_int_equal(table_state_wanted(ads(&state), "h", labels, 2, 150 * S), 4);
    must_at(&state, 200 * S, (struct op[]){effective(activate(4), 210 * S)}, 1);
    assert_int_equal(table_state_wanted(ads(&state), "h", labels, 2, 209 * S), 4);
    assert_int_equal(ads(&state)->n_pins, 2);
    assert_int_equal(table_state_wanted(ads(&state), "h", labels, 2, 210 * S), 2);
    state_release(&state);
}

static void canary__is_of_something_new_and_good(void **unused)
{
    struct state state = {0};
    start_trial(&state);
    refused(&state, canary(3, "h"), -EPERM, "nothing to try");
    refused(&state, canary(1, "h"), -EPERM, "nothing to try");
    refused(&state, canary(9, "h"), -ENOENT, "has no version 9");
    must(&state, publish(5, 4));
    must(&state, plain(OP_QUARANTINE, 4));
    refused(&state, canary(4, "h"), -EPERM, "version 4 is quarantined");
    refused(&state, canary(5, "h"), -EPERM, "version 4 is quarantined");
    must(&state, plain(OP_RETIRE, 5));
    refused(&state, canary(5, "h"), -EPERM, "retired");
    must(&state, publish(6, 0));
    must(&state, named(OP_PIN, 1, "h"));
    refused(&state, canary(6, "h"), -EPERM, "h is held at version 1");
    state_release(&state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canary__is_published_and_tried_by_one_record),
        cmocka_unit_test(canary__of_the_first_version_needs_no_current_one),
        cmocka_unit_test(canary__is_promoted_by_activate_without_a_moment_between),
        cmocka_unit_test(canary__ends_at_once_when_the_switch_is_at_once),
        cmocka_unit_test(canary__goes_on_when_its_promotion_is_called_off_in_time),
        cmocka_unit_test(canary__does_not_come_back_after_the_switch_that_promoted_it),
        cmocka_unit_test(canary__is_overtaken_by_a_newer_version),
        cmocka_unit_test(canary__is_aborted_by_quarantine),
        cmocka_unit_test(canary__ends_with_the_version_it_lies_on),
        cmocka_unit_test(canary__goes_on_through_a_rollback_of_another_version),
        cmocka_unit_test(canary__is_rolled_back_after_its_promotion),
        cmocka_unit_test(canary__ends_by_unpin_and_by_a_pin_of_the_same_name),
        cmocka_unit_test(canary__follows_the_newest_version),
        cmocka_unit_test(canary__that_is_over_hides_nothing),
        cmocka_unit_test(canary__is_of_something_new_and_good),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
