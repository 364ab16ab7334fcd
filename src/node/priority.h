/* SPDX-License-Identifier: Apache-2.0 */
/*
 * priority: which threads stand back behind those that answer, and which one goes before.
 *
 * Threads: of the calling thread. Memory: none. Errors: none; a host that refuses only has less
 * order among its threads.
 */
#ifndef FKV_NODE_PRIORITY_H
#define FKV_NODE_PRIORITY_H

/* For fetching and loading: from now on this thread gets the processor when others leave it some. */
void priority_low(void);

/* For switching at an instant: from now on this thread runs as soon as it is woken. It must not run
 * for long. */
void priority_high(void);

#endif
