/* SPDX-License-Identifier: Apache-2.0 */
/*
 * copied: questions and answers that the kernel copies, inside one ioctl or by write and read.
 *
 * A question too long for its transport travels in pieces. All after the first ask for exactly the
 * version that answered it; should that version be retired meanwhile, everything is asked again.
 *
 * Threads, memory, errors: as carrier.h.
 */
#ifndef FKV_CLIENT_COPIED_H
#define FKV_CLIENT_COPIED_H

#include "client/carrier.h"

int copied_ask(struct carrier *carrier, struct channel *channel, const struct question *question,
               struct answer *out, struct err *err);

#endif
