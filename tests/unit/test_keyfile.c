/* SPDX-License-Identifier: Apache-2.0 */
/* What the daemon has to remember of the view: key files, and links on their way to `current`. */
#include "unit.h"

#include "fuse/keyfile.h"
#include "fuse/links.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct keyfile named(const char *name)
{
    struct keyfile keyfile = {.table = 3, .version = 43, .value_len = 7};
    snprintf(keyfile.name, sizeof keyfile.name, "%s", name);
    return keyfile;
}

static void keyfile__is_remembered_until_all_lookups_are_forgotten(void **state)
{
    struct keyfiles *keyfiles = NULL;
    struct keyfile keyfile = named("a%2Fb");
    struct keyfile out;
    uint64_t serial = 0;
    assert_int_equal(keyfiles_new(&keyfiles), 0);
    assert_int_equal(keyfiles_add(keyfiles, &keyfile, &serial), 0);
    assert_true(keyfiles_get(keyfiles, serial, &out));
    assert_string_equal(out.name, "a%2Fb");
    assert_int_equal(out.version, 43);
    assert_int_equal(out.value_len, 7);
    keyfiles_forget(keyfiles, serial, 1);
    assert_false(keyfiles_get(keyfiles, serial, &out));
    keyfiles_forget(keyfiles, serial, 1); /* nothing happens */
    assert_int_equal(keyfiles_count(keyfiles), 0);
    keyfiles_free(keyfiles);
}

static void keyfile__a_number_is_never_used_twice(void **state)
{
    struct keyfiles *keyfiles = NULL;
    struct keyfile keyfile = named("1");
    struct keyfile out;
    uint64_t first = 0;
    uint64_t second = 0;
    assert_int_equal(keyfiles_new(&keyfiles), 0);
    assert_int_equal(keyfiles_add(keyfiles, &keyfile, &first), 0);
    keyfiles_forget(keyfiles, first, 9);
    assert_int_equal(keyfiles_add(keyfiles, &keyfile, &second), 0);
    assert_true(first != second);
    assert_false(keyfiles_get(keyfiles, first, &out));
    assert_true(keyfiles_get(keyfiles, second, &out));
    assert_false(keyfiles_get(keyfiles, 0, &out));
    assert_false(keyfiles_get(keyfiles, UINT64_MAX, &out));
    keyfiles_free(keyfiles);
}

static void keyfile__too_many_are_handed_out_and_the_end_is_enfile(void **state)
{
    struct keyfiles *keyfiles = NULL;
    struct keyfile keyfile = named("1");
    struct keyfile out;
    uint64_t serial = 0;
    assert_int_equal(keyfiles_new(&keyfiles), 0);
    for (uint32_t i = 0; i < KEYFILES_KEEP; i++)
        assert_int_equal(keyfiles_add(keyfiles, &keyfile, &serial), 0);
    assert_false(keyfiles_oldest(keyfiles, &out));
    for (uint32_t i = KEYFILES_KEEP; i < KEYFILES_MAX - 1; i++)
        assert_int_equal(keyfiles_add(keyfiles, &keyfile, &serial), 0);
    assert_true(keyfiles_oldest(keyfiles, &out));
    assert_int_equal(keyfiles_add(keyfiles, &keyfile, &serial), -ENFILE);
    keyfiles_forget(keyfiles, serial, 1);
    assert_int_equal(keyfiles_add(keyfiles, &keyfile, &serial), 0);
    keyfiles_free(keyfiles);
}

static void links__come_and_go_by_table_and_name(void **state)
{
    struct links links;
    struct link link;
    uint32_t number = 0;
    links_init(&links);
    assert_int_equal(links_add(&links, 1, "CuX1", 41, &number), 0);
    assert_int_equal(links_add(&links, 1, "CuX1", 42, &number), -EEXIST);
    assert_int_equal(links_find(&links, 1, "CuX1", &link), 0);
    assert_int_equal(link.version, 41);
    assert_int_equal(links_find_number(&links, 1, link.number, &link), 0);
    assert_int_equal(links_find(&links, 2, "CuX1", &link), -ENOENT);
    assert_int_equal(links_find_number(&links, 2, link.number, &link), -ENOENT);
    assert_int_equal(links_find_number(&links, 1, 0, &link), -ENOENT);
    assert_int_equal(links_remove(&links, 1, "CuX1"), 0);
    assert_int_equal(links_remove(&links, 1, "CuX1"), -ENOENT);
    char name[LINK_NAME_MAX + 2];
    memset(name, 'x', sizeof name);
    name[sizeof name - 1] = 0;
    assert_int_equal(links_add(&links, 1, name, 41, &number), -ENAMETOOLONG);
}

static void links__of_too_many_the_oldest_is_forgotten(void **state)
{
    struct links links;
    struct link link;
    uint32_t number = 0;
    char name[16];
    links_init(&links);
    for (int i = 0; i < LINKS_MAX + 3; i++) {
        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(links_add(&links, 1, name, 41, &number), 0);
    }
    assert_int_equal(links_find(&links, 1, "t2", &link), -ENOENT);
    assert_int_equal(links_find(&links, 1, "t3", &link), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keyfile__is_remembered_until_all_lookups_are_forgotten),
        cmocka_unit_test(keyfile__a_number_is_never_used_twice),
        cmocka_unit_test(keyfile__too_many_are_handed_out_and_the_end_is_enfile),
        cmocka_unit_test(links__come_and_go_by_table_and_name),
        cmocka_unit_test(links__of_too_many_the_oldest_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
