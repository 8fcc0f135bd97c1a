/* SPDX-License-Identifier: Apache-2.0 */
#include "trace.h"

int32_t tenon_trace_open(tenon_context *context, const char *path, tenon_error *error) {
    (void)context;
    return tenon_fail(error, TENON_STATUS_UNSUPPORTED, -1, -1, "TENON_TRACE=%s: tracing is not in this build", path);
}
void tenon_trace_close(tenon_context *context) { (void)context; }
void tenon_trace_run(const tenon_plan *plan, const void *args) { (void)plan, (void)args; }
