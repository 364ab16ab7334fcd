/* SPDX-License-Identifier: Apache-2.0 */
/* Whole builds of tables of kind blk: whatever holds for one kind holds for all. */
#define BUILD_KIND KIND_BLK
#include "test_build.c"
