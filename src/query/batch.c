/* SPDX-License-Identifier: Apache-2.0 */
#include "query/batch.h"

#include "query/body.h"
#include "query/passes.h"

#include <errno.h>

int batch_run(const struct mem_table *table, const struct batch_request *request, void *out,
              size_t out_cap, struct batch_result *result)
{
    struct answer answer = {0};
    struct batch_result layout = {0};
    int ret = body_begin(mem_table_schema(table), request, out, out_cap, &answer, &layout);
    if (ret == -ENOSPC)
        *result = layout;
    if (ret || (ret = passes_run(table, request, &answer)))
        return ret;
    return body_end(&answer, &layout, out_cap, result);
}
