/* SPDX-License-Identifier: Apache-2.0 */
/* CSV rows from any bytes. */
#include "fuzz_rows.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    rows_try(&input_csv, data, len);
    rows_try_pieces(INPUT_CSV, data, len);
    rows_try_header(&input_csv, data, len);
    return 0;
}
