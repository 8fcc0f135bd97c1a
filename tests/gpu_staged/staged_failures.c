/* SPDX-License-Identifier: Apache-2.0 */
/* Every call of the runtime fails once: the n-th one, for n = 1, 2, .. until all of them succeed.
 * Each time the status must be one of the device, with the vendor's word for it; where no kernel
 * was launched, memory must be as it was; and the next attempt must work. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "staged_host.h"

enum { MOST_CALLS = 10000 };

static staged_fake fake;
static uint64_t failures;

static void say(void) {
    fprintf(stderr, "staged host: %llu calls were made to fail\n", (unsigned long long)failures);
}

bool staged_failures_wanted(void) {
    static int wanted = -1;
    if (wanted < 0) {
        wanted = getenv("TENON_STAGED_FAILURES") && staged_device_is_fake(&fake);
        if (wanted) atexit(say);
    }
    return wanted;
}

/* Was it the call that was to fail, and was it told as it should be? */
static bool was_planted(uint64_t before, uint64_t n, int32_t status, const tenon_error *error,
                        const char **wrong) {
    if (fake.count(NULL) - before < n) return false;
    failures++;
    if (status != TENON_STATUS_DEVICE_ERROR && status != TENON_STATUS_NOT_AVAILABLE)
        *wrong = "staged host: a failing call of the runtime ends in another status";
    else if (!strstr(error->text, staged_device_vendor()->unknown_error))
        *wrong = "staged host: a failing call of the runtime is not named";
    return true;
}

int32_t staged_failing_plan(const tenon_api *api, tenon_context *context, staged_call *call,
                            int32_t op, const tenon_plan_options *options, tenon_plan **out,
                            tenon_error *error, const char **wrong) {
    tenon_error own = {.struct_size = sizeof own};
    tenon_error *told = error ? error : &own;
    int32_t status = TENON_OK;
    for (uint64_t n = 1; n < MOST_CALLS; n++) {
        const uint64_t before = fake.count(NULL);
        fake.fail_at(n, false);
        status = api->plan_create(context, op, call->args, options, out, told);
        fake.fail_at(0, false);
        if (!status || !was_planted(before, n, status, told, wrong) || *wrong) break;
        if (!staged_is_untouched(call)) *wrong = "staged host: a plan that failed wrote to memory";
    }
    return status;
}

int32_t staged_failing_run(const tenon_api *api, const tenon_plan *plan, staged_call *call,
                           tenon_error *error, const char **wrong) {
    tenon_error own = {.struct_size = sizeof own};
    tenon_error *told = error ? error : &own;
    int32_t status = TENON_OK;
    for (uint64_t n = 1; n < MOST_CALLS; n++) {
        const uint64_t before = fake.count(NULL),
                       launches = fake.count(staged_device_vendor()->launch_symbol);
        fake.fail_at(n, false);
        status = api->run(plan, call->args, told);
        fake.fail_at(0, false);
        if (!status || !was_planted(before, n, status, told, wrong) || *wrong) break;
        /* The launch that failed is counted as well. */
        const uint64_t launched = fake.count(staged_device_vendor()->launch_symbol) - launches;
        const bool none_ran =
            !launched ||
            (launched == 1 && strstr(told->text, staged_device_vendor()->launch_symbol));
        if (none_ran && !staged_is_untouched(call)) {
            *wrong = "staged host: a run that failed wrote to memory";
            break;
        }
        if (!staged_restore(call)) {
            *wrong = "staged host: a copy to the device failed";
            break;
        }
    }
    return status;
}
