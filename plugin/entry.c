/* SPDX-License-Identifier: Apache-2.0 */
/* The one normative export, and the table behind it. */
#include "context.h"
#include "foreign.h"
#include "plan.h"
#include "registry.h"

static const char *status_text(int32_t status) {
    static const char *const texts[] = {
#define TEXT(name, value, doc) [value] = #name ": " doc,
        TENON_STATUS_LIST(TEXT)};
    return status >= 0 && status < TENON_STATUS_COUNT ? texts[status] : "unknown status";
}

static uint32_t op_count(void) {
    return TENON_OP_COUNT;
}
static const tenon_op_info *op_info(uint32_t op) {
    return op < TENON_OP_COUNT ? &tenon_schema_of((int32_t)op)->info : NULL;
}

static int32_t probe(tenon_context *context, uint32_t index, tenon_device_info *out,
                     tenon_error *error) {
    if (!context || !out || out->struct_size < 8)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "probe: context or out is NULL, or out->struct_size is too small");
    return tenon_probe_at(context, index, out, error);
}

static int32_t kernel_info(tenon_context *context, uint32_t index, tenon_kernel_info *out,
                           tenon_error *error) {
    if (!context || !out || out->struct_size < 8)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1,
                          "kernel_info: context or out is NULL, or out->struct_size is too small");
    return tenon_kernel_info_at(context, index, out, error);
}

static const tenon_api api = {
    .struct_size = sizeof(tenon_api),
    .version = TENON_VERSION,
    .status_text = status_text,
    .op_count = op_count,
    .op_info = op_info,
    .quant_info = tenon_quant_schema,
    .context_create = tenon_context_create,
    .context_destroy = tenon_context_destroy,
    .probe = probe,
    .kernel_info = kernel_info,
    .query = tenon_query_call,
    .plan_create = tenon_plan_create,
    .plan_query = tenon_plan_query,
    .plan_update = tenon_plan_update,
    .plan_destroy = tenon_plan_destroy,
    .run = tenon_run,
    .run_packed = tenon_run_packed,
    .call = tenon_call,
    .call_packed = tenon_call_packed,
    .register_kernel = tenon_register_kernel,
    .closure_create = tenon_closure_create,
    .closure_destroy = tenon_closure_destroy,
};

/* Oldest version that this library still speaks. */
enum { OLDEST_VERSION = 1 << 16 };

int32_t tenon_get_api(const tenon_host *host, uint32_t *inout_version, const tenon_api **out,
                      tenon_error *error) {
    if (!inout_version || !out)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "tenon_get_api: %s is NULL",
                          out ? "inout_version" : "out");
    int32_t status =
        host ? tenon_check_struct(host, sizeof *host, "tenon_get_api: host", -1, error) : TENON_OK;
    /* A host of another version may have another table; which version it speaks must be answered
     * first. */
    if (host && host->struct_size < offsetof(tenon_host, user)) return status;
    uint32_t newest_of_host = *inout_version, oldest_of_host = host ? host->min_version : 0;
    uint32_t common = newest_of_host < TENON_VERSION ? newest_of_host : TENON_VERSION;
    if (common < OLDEST_VERSION || common < oldest_of_host) {
        *inout_version = TENON_VERSION;
        return tenon_fail(error, TENON_STATUS_VERSION_MISMATCH, -1, -1,
                          "the host speaks ABI %u.%u to %u.%u, this library %u.%u to %u.%u",
                          oldest_of_host >> 16, oldest_of_host & 0xffff, newest_of_host >> 16,
                          newest_of_host & 0xffff, OLDEST_VERSION >> 16, OLDEST_VERSION & 0xffff,
                          TENON_VERSION_MAJOR, TENON_VERSION_MINOR);
    }
    if (status) return status;
    *inout_version = common;
    *out = &api;
    return TENON_OK;
}
