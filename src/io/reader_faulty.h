/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reader_faulty: a reader for tests, whose nth read goes wrong. Not part of any program.
 *
 * Threads, memory, errors: as reader.h.
 */
#ifndef FKV_IO_READER_FAULTY_H
#define FKV_IO_READER_FAULTY_H

#include "io/reader.h"

enum reader_fault {
    READER_FAIL,  /* -EIO; the first half of the buffer is read */
    READER_SHORT, /* -ENODATA; the same */
    READER_LATE,  /* begins late_ns after it was queued */
    READER_TORN,  /* reported as good, with one bit wrong in the last byte */
};

struct reader_faults {
    enum reader_fault fault;
    unsigned nth;    /* the read that goes wrong, from 1; 0: none */
    unsigned n_more; /* so many after it go wrong too */
    int64_t late_ns;
};

/* Reads through inner, and frees it with itself. On errors inner stays the caller's. */
int reader_faulty_new(struct reader *inner, unsigned depth, struct reader **out, struct err *err);

/* Takes effect with the next read queued, which is number 1. */
void reader_faulty_set(struct reader *faulty, const struct reader_faults *faults);
/* Reads queued since. */
unsigned reader_faulty_n_reads(const struct reader *faulty);

#endif
