/* SPDX-License-Identifier: Apache-2.0 */
/* lowlevel: libfuse's low-level interface at the version fkvd is written for; include this, not
 * <fuse_lowlevel.h>. */
#ifndef FKV_FUSE_LOWLEVEL_H
#define FKV_FUSE_LOWLEVEL_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>

#endif
