/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include "node/current.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

enum { N_READERS = 4, N_OBJECTS = 8 };

struct object {
    struct counted counted;
    _Atomic int n_released;
    _Atomic bool is_alive;
};

static void object_release(struct counted *counted)
{
    struct object *object = (struct object *)counted;
    atomic_fetch_add(&object->n_released, 1);
    atomic_store(&object->is_alive, false);
}

static struct object *object_new(void)
{
    struct object *object = calloc(1, sizeof *object);
    counted_init(&object->counted, object_release);
    atomic_store(&object->is_alive, true);
    return object;
}

static void current__pins_what_it_holds(void **state)
{
    struct current current = {0};
    assert_null(current_pin(&current));
    struct object *a = object_new();
    current_switch(&current, &a->counted);
    assert_false(counted_is_sole(&a->counted));
    struct counted *pinned = current_pin(&current);
    assert_ptr_equal(pinned, a);
    counted_unpin(&a->counted); /* the maker's */
    current_switch(&current, NULL);
    assert_null(current_pin(&current));
    assert_int_equal(a->n_released, 0); /* the reader still has it */
    assert_true(counted_is_sole(&a->counted));
    counted_unpin(pinned);
    assert_int_equal(a->n_released, 1);
    counted_unpin(NULL);
    free(a);
}

static void current__switching_to_the_same_object_keeps_it(void **state)
{
    struct current current = {0};
    struct object *a = object_new();
    current_switch(&current, &a->counted);
    current_switch(&current, &a->counted);
    struct counted *pinned = current_pin(&current);
    current_switch(&current, NULL);
    counted_unpin(pinned);
    assert_int_equal(a->n_released, 0);
    counted_unpin(&a->counted);
    assert_int_equal(a->n_released, 1);
    free(a);
}

struct race {
    struct current current;
    _Atomic bool is_over;
    _Atomic uint64_t n_pins;
    _Atomic uint64_t n_dead; /* pinned and not alive: must stay 0 */
};

static void *read_on(void *context)
{
    struct race *race = context;
    uint64_t n = 0;
    while (!atomic_load_explicit(&race->is_over, memory_order_relaxed)) {
        struct counted *pinned = current_pin(&race->current);
        if (!pinned)
            continue;
        struct object *object = (struct object *)pinned;
        if (!atomic_load(&object->is_alive))
            atomic_fetch_add(&race->n_dead, 1);
        if (++n % 7 == 0) { /* a second pin outlives the first */
            counted_pin(pinned);
            counted_unpin(pinned);
        }
        counted_unpin(pinned);
    }
    atomic_fetch_add(&race->n_pins, n);
    return NULL;
}

static void start(struct race *race, pthread_t *readers)
{
    for (int i = 0; i < N_READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, race), 0);
}

static void end(struct race *race, pthread_t *readers)
{
    atomic_store(&race->is_over, true);
    for (int i = 0; i < N_READERS; i++)
        pthread_join(readers[i], NULL);
    assert_int_equal(race->n_dead, 0);
}

/* New objects all the time; each is released exactly once, never under a reader. */
static void current__each_object_is_released_once_under_readers(void **state)
{
    enum { N_SWITCHES = 20000 };
    static struct object *objects[N_SWITCHES];
    struct race race = {0};
    pthread_t readers[N_READERS];
    start(&race, readers);
    for (int i = 0; i < N_SWITCHES; i++) {
        objects[i] = object_new();
        current_switch(&race.current, &objects[i]->counted);
        counted_unpin(&objects[i]->counted);
    }
    current_switch(&race.current, NULL);
    end(&race, readers);
    for (int i = 0; i < N_SWITCHES; i++) {
        assert_int_equal(objects[i]->n_released, 1);
        free(objects[i]);
    }
}

/* Few objects come and go again: tickets of one stay in the word get mixed with those of another. */
static void current__same_objects_come_back_under_readers(void **state)
{
    struct object *objects[N_OBJECTS];
    struct race race = {0};
    pthread_t readers[N_READERS];
    for (int i = 0; i < N_OBJECTS; i++)
        objects[i] = object_new();
    start(&race, readers);
    for (int i = 0; i < 100000; i++)
        current_switch(&race.current, i % 5 ? &objects[i / 2 % 2]->counted : NULL);
    for (int i = 0; i < 50000; i++)
        current_switch(&race.current, &objects[i % N_OBJECTS]->counted);
    current_switch(&race.current, NULL);
    end(&race, readers);
    for (int i = 0; i < N_OBJECTS; i++) {
        assert_int_equal(objects[i]->n_released, 0);
        assert_true(counted_is_sole(&objects[i]->counted));
        counted_unpin(&objects[i]->counted);
        assert_int_equal(objects[i]->n_released, 1);
        free(objects[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(current__pins_what_it_holds),
        cmocka_unit_test(current__switching_to_the_same_object_keeps_it),
        cmocka_unit_test(current__each_object_is_released_once_under_readers),
        cmocka_unit_test(current__same_objects_come_back_under_readers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
