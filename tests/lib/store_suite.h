/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_suite: what every store does, whatever it is kept on. One list of cases, run over each backend.
 *
 * Unit tests run it over a directory, memory and the faulty backend (test_store.c). For a real server there is a program,
 *
 *   BUILD/tests/lib/store_suite_main URL [DIR]
 *
 * which makes an empty directory in the store for each case and removes it again. DIR is where this machine sees the
 * directory of the URL, when it does: cases that plant symbolic links and FIFOs in it are skipped without. Exit status: the
 * number of cases that failed; the names are cmocka's.
 *
 * Threads: one run at a time. Memory: the suite's. Errors: cmocka's asserts.
 */
#ifndef FKV_TESTS_STORE_SUITE_H
#define FKV_TESTS_STORE_SUITE_H

#include "store/store.h"

/* What a case is given: an empty store. */
struct store_case {
    struct store *store;
    const char *dir; /* where its files are; NULL: nowhere on this machine */
    const char *
        outside; /* a directory that is not the store's, with a file "secret" in it; NULL without dir */
};

struct store_suite {
    const char *name; /* of the backend, before the names of the cases */
    int (*open)(void *context, struct store_case *out);
    void (*close)(void *context, struct store_case *at);
    void *context;
};

/* How many cases failed. */
int store_suite_run(const struct store_suite *suite);

#endif
