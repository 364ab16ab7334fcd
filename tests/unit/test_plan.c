/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "node/plan.h"

#include <stdio.h>
#include <string.h>

enum { VERSIONS = 10, NOW = 1000 };

/* A table of versions 1 to n, all former but current, and a machine that has some of them. */
struct world {
    struct table_state fleet;
    struct version_entry versions[VERSIONS];
    struct pin_entry pins[2];
    struct plan_have have[VERSIONS];
    struct plan_input input;
    struct plan plan;
};

static void world_init(struct world *world, size_t n, uint64_t current, uint64_t previous)
{
    *world = (struct world){0};
    for (size_t i = 0; i < n; i++)
        world->versions[i] = (struct version_entry){.version = i + 1,
                                                    .state = i + 1 == current  ? VERSION_CURRENT
                                                             : i + 1 > current ? VERSION_CANDIDATE
                                                                               : VERSION_FORMER};
    snprintf(world->fleet.name, sizeof world->fleet.name, "ads");
    world->fleet.versions = world->versions;
    world->fleet.n_versions = n;
    world->fleet.current = current;
    world->fleet.previous = previous;
    world->fleet.pins = world->pins;
    world->input = (struct plan_input){
        .fleet = &world->fleet, .node = "n1", .now_ns = NOW, .keep_cached = 2, .have = world->have};
}

static void world_has(struct world *world, uint64_t id, bool is_loaded)
{
    world->have[world->input.n_have++] =
        (struct plan_have){.id = id, .is_cached = true, .is_loaded = is_loaded};
}

static void world_plan(struct world *world)
{
    plan_release(&world->plan);
    assert_int_equal(plan_make(&world->input, &world->plan), 0);
    for (size_t i = 1; i < world->plan.n_items; i++)
        assert_true(world->plan.items[i - 1].id < world->plan.items[i].id);
}

static void assert_item(const struct world *world, uint64_t id, enum keep_place place,
                        enum rank rank)
{
    for (size_t i = 0; i < world->plan.n_items; i++) {
        if (world->plan.items[i].id != id)
            continue;
        assert_int_equal(world->plan.items[i].place, place);
        assert_int_equal(world->plan.items[i].rank, rank);
        return;
    }
    fail_msg("version %d is not in the plan", (int)id);
}

static void assert_no_item(const struct world *world, uint64_t id)
{
    for (size_t i = 0; i < world->plan.n_items; i++)
        assert_int_not_equal(world->plan.items[i].id, id);
}

static void plan__new_node_wants_current_and_previous(void **state)
{
    struct world world;
    world_init(&world, 5, 5, 4);
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 5);
    assert_int_equal(world.plan.previous, 4);
    assert_int_equal(world.plan.next_ns, 0);
    assert_item(&world, 5, PLACE_LOADED, RANK_SERVE);
    assert_item(&world, 4, PLACE_LOADED, RANK_STANDBY);
    assert_no_item(&world, 3);
    plan_release(&world.plan);
}

static void plan__table_without_an_activated_version_prepares_its_candidates(void **state)
{
    struct world world;
    world_init(&world, 3, 0, 0);
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 0);
    assert_item(&world, 3, PLACE_LOADED, RANK_CANDIDATE);
    assert_item(&world, 2, PLACE_LOADED, RANK_STANDBY);
    assert_no_item(&world, 1); /* the newest two are enough */
    plan_release(&world.plan);
}

static void plan__candidates_that_cannot_become_current_are_left_alone(void **state)
{
    struct world world;
    world_init(&world, 6, 3, 2);
    world.versions[5].quarantined = true;
    world.versions[0].state = VERSION_CANDIDATE; /* passed over */
    world_plan(&world);
    assert_no_item(&world, 6);
    assert_no_item(&world, 1);
    assert_item(&world, 5, PLACE_LOADED, RANK_CANDIDATE);
    assert_item(&world, 4, PLACE_LOADED, RANK_STANDBY);
    plan_release(&world.plan);
}

static void plan__before_its_instant_the_old_version_serves(void **state)
{
    struct world world;
    world_init(&world, 5, 5, 4);
    world.fleet.before = 4;
    world.fleet.effective_ns = NOW + 50;
    world_has(&world, 4, true);
    world.input.serving = 4;
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 4);
    assert_int_equal(world.plan.next_ns, NOW + 50);
    assert_int_equal(world.plan.next, 5);
    assert_item(&world, 5, PLACE_LOADED, RANK_NEXT);
    assert_item(&world, 4, PLACE_LOADED, RANK_SERVE);
    world.input.now_ns = NOW + 50;
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 5);
    assert_int_equal(world.plan.next_ns, 0);
    plan_release(&world.plan);
}

static void plan__what_serves_stays_until_it_is_replaced(void **state)
{
    struct world world;
    world_init(&world, 9, 9, 8);
    world_has(&world, 1, true);
    world.input.serving = 1;
    world_plan(&world);
    assert_item(&world, 1, PLACE_LOADED, RANK_SERVE);
    world.input.serving = 9;
    world_plan(&world);
    assert_item(&world, 1, PLACE_CACHED, RANK_NONE);
    plan_release(&world.plan);
}

static void plan__pinned_node_keeps_its_version_and_still_prepares(void **state)
{
    struct world world;
    world_init(&world, 6, 5, 4);
    world.pins[0] = (struct pin_entry){.name = "n1", .version = 2};
    world.fleet.n_pins = 1;
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 2);
    assert_item(&world, 2, PLACE_LOADED, RANK_SERVE);
    assert_item(&world, 6, PLACE_LOADED, RANK_CANDIDATE);
    assert_item(&world, 5, PLACE_LOADED, RANK_STANDBY);
    plan_release(&world.plan);
}

static void plan__local_pin_wins_over_everything(void **state)
{
    struct world world;
    world_init(&world, 6, 5, 4);
    world.pins[0] = (struct pin_entry){.name = "n1", .version = 2};
    world.fleet.n_pins = 1;
    world_has(&world, 3, true);
    world_has(&world, 5, true);
    world.input.local_pin = 3;
    world.input.serving = 3;
    world.input.previous = 5;
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 3);
    assert_int_equal(world.plan.unpinned, 2);
    assert_int_equal(world.plan.previous, 5); /* what it came from, not the fleet's */
    plan_release(&world.plan);
}

static void plan__previous_is_never_a_quarantined_version(void **state)
{
    struct world world;
    world_init(&world, 3, 2, 0); /* rolled back from 3 to 2; 1 was never current */
    world.versions[2].state = VERSION_FORMER;
    world.versions[2].quarantined = true;
    world_has(&world, 2, true);
    world_has(&world, 3, true);
    world.input.serving = 2;
    world.input.previous = 3;
    world_plan(&world);
    assert_int_equal(world.plan.previous, 0);
    world.input.local_pin = 2;
    world_plan(&world);
    assert_int_equal(world.plan.previous, 0);
    plan_release(&world.plan);
}

static void plan__without_a_manifest_everything_stays(void **state)
{
    struct world world;
    world_init(&world, 5, 5, 4);
    world.input.fleet = NULL;
    for (uint64_t id = 1; id <= 5; id++)
        world_has(&world, id, id == 4);
    world.input.serving = 4;
    world.input.previous = 3;
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 4);
    assert_int_equal(world.plan.previous, 3);
    assert_item(&world, 3, PLACE_LOADED, RANK_STANDBY);
    assert_item(&world, 1, PLACE_CACHED, RANK_NONE);
    assert_item(&world, 5, PLACE_CACHED, RANK_NONE);
    plan_release(&world.plan);
}

static void plan__manifest_without_a_current_takes_nothing_away(void **state)
{
    struct world world;
    world_init(&world, 3, 0, 0);
    world_has(&world, 2, true);
    world.input.serving = 2;
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 2);
    plan_release(&world.plan);
}

static void plan__disk_keeps_the_newest_former_versions(void **state)
{
    struct world world;
    world_init(&world, 8, 8, 7);
    for (uint64_t id = 1; id <= 8; id++)
        world_has(&world, id, id >= 7);
    world.versions[5].state = VERSION_RETIRED; /* 6 */
    world.input.serving = 8;
    world_plan(&world);
    assert_item(&world, 7, PLACE_LOADED, RANK_STANDBY);
    assert_item(&world, 6, PLACE_GONE, RANK_NONE);
    assert_item(&world, 5, PLACE_CACHED, RANK_NONE);
    assert_item(&world, 4, PLACE_CACHED, RANK_NONE);
    assert_item(&world, 3, PLACE_GONE, RANK_NONE);
    assert_item(&world, 1, PLACE_GONE, RANK_NONE);
    plan_release(&world.plan);
}

static void plan__forgotten_version_is_not_wanted_unless_it_is_here(void **state)
{
    struct world world;
    world_init(&world, 3, 3, 2);
    world.versions[1].state = VERSION_FORGOTTEN;
    world_plan(&world);
    assert_no_item(&world, 2);
    world_has(&world, 2, true);
    world.input.local_pin = 2;
    world.input.serving = 2;
    world_plan(&world);
    assert_int_equal(world.plan.wanted, 2);
    assert_item(&world, 2, PLACE_LOADED, RANK_SERVE);
    plan_release(&world.plan);
}

static void plan__unfetched_leftover_goes(void **state)
{
    struct world world;
    world_init(&world, 3, 3, 2);
    world.versions[0].quarantined = true;
    world.have[world.input.n_have++] =
        (struct plan_have){.id = 1}; /* was wanted once, never came */
    world_plan(&world);
    assert_item(&world, 1, PLACE_GONE, RANK_NONE);
    plan_release(&world.plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan__new_node_wants_current_and_previous),
        cmocka_unit_test(plan__table_without_an_activated_version_prepares_its_candidates),
        cmocka_unit_test(plan__candidates_that_cannot_become_current_are_left_alone),
        cmocka_unit_test(plan__before_its_instant_the_old_version_serves),
        cmocka_unit_test(plan__what_serves_stays_until_it_is_replaced),
        cmocka_unit_test(plan__pinned_node_keeps_its_version_and_still_prepares),
        cmocka_unit_test(plan__local_pin_wins_over_everything),
        cmocka_unit_test(plan__previous_is_never_a_quarantined_version),
        cmocka_unit_test(plan__without_a_manifest_everything_stays),
        cmocka_unit_test(plan__manifest_without_a_current_takes_nothing_away),
        cmocka_unit_test(plan__disk_keeps_the_newest_former_versions),
        cmocka_unit_test(plan__forgotten_version_is_not_wanted_unless_it_is_here),
        cmocka_unit_test(plan__unfetched_leftover_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
