/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "bench_run.h"

const char *bench_status_name(bench_status status) {
    static const char *const names[] = {
#define NAME(name, failure, doc) #name,
        BENCH_STATUS_LIST(NAME)};
    return names[status];
}

bool bench_status_fails(bench_status status) {
    static const bool fails[] = {
#define FAILS(name, failure, doc) failure,
        BENCH_STATUS_LIST(FAILS)};
    return fails[status];
}

static bool is(const bench_options *options, const char *report) {
    return !strcmp(options->report, report);
}
static bool first_record;

static void put_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', out);
        if ((unsigned char)*text >= 0x20) fputc(*text, out);
    }
    fputc('"', out);
}

void bench_report_begin(const bench_options *options, const bench_limits *limits) {
    first_record = true;
    if (is(options, "json"))
        fprintf(options->out,
                "{\"limits\": {\"threads\": %d, \"read_gb_per_s\": %.2f, \"f32_gop_per_s\": %.1f, "
                "\"bf16_gop_per_s\": %.1f, \"int8_gop_per_s\": %.1f},\n\"results\": [",
                limits->n_threads, limits->read_gb_per_s, limits->peak_gop_per_s[BENCH_PEAK_F32],
                limits->peak_gop_per_s[BENCH_PEAK_BF16], limits->peak_gop_per_s[BENCH_PEAK_INT8]);
    else if (is(options, "csv"))
        fprintf(options->out, "status,library,kernel,us,us_min,us_p99,gb_per_s,share_of_read,gop_"
                              "per_s,share_of_peak,nmse,problem,detail\n");
    else if (options->mode == 'P')
        fprintf(options->out,
                "limits on %d threads: read %.1f GB/s; f32 %.0f, bf16 %.0f, int8 %.0f GOP/s\n",
                limits->n_threads, limits->read_gb_per_s, limits->peak_gop_per_s[BENCH_PEAK_F32],
                limits->peak_gop_per_s[BENCH_PEAK_BF16], limits->peak_gop_per_s[BENCH_PEAK_INT8]);
}

void bench_report(const bench_options *options, const bench_limits *limits, const char *library,
                  const char *text, const bench_result *r) {
    FILE *out = options->out;
    double gb = r->seconds > 0 ? r->cost.bytes / r->seconds / 1e9 : 0,
           gop = r->seconds > 0 ? r->cost.operations / r->seconds / 1e9 : 0;
    double peak = r->cost.peak < BENCH_PEAK_NONE ? limits->peak_gop_per_s[r->cost.peak] : 0;
    double share_read = r->probe_gb_per_s > 0 ? gb / r->probe_gb_per_s : 0,
           share_peak = peak > 0 ? gop / peak : 0;
    if (is(options, "json")) {
        fprintf(out, "%s\n{\"status\": \"%s\", \"library\": ", first_record ? "" : ",",
                bench_status_name(r->status));
        put_json_string(out, library);
        fprintf(out,
                ", \"kernel\": \"%s\", \"us\": %.3f, \"us_min\": %.3f, \"us_p99\": %.3f, "
                "\"gb_per_s\": %.3f, \"probe_gb_per_s\": %.3f, \"share_of_read\": %.4f, ",
                r->kernel, r->seconds * 1e6, r->seconds_least * 1e6, r->seconds_p99 * 1e6, gb,
                r->probe_gb_per_s, share_read);
        fprintf(out,
                "\"gop_per_s\": %.2f, \"share_of_peak\": %.4f, \"samples\": %d, \"nmse\": %.3e, "
                "\"problem\": ",
                gop, share_peak, r->samples,
                r->difference.nmse < 1e300 ? r->difference.nmse : 1e300);
        put_json_string(out, text);
        fprintf(out, ", \"detail\": ");
        put_json_string(out, r->detail);
        fprintf(out, "}");
    } else if (is(options, "csv")) {
        fprintf(out, "%s,%s,%s,%.3f,%.3f,%.3f,%.3f,%.4f,%.2f,%.4f,%.3e,\"%s\",\"%s\"\n",
                bench_status_name(r->status), library, r->kernel, r->seconds * 1e6,
                r->seconds_least * 1e6, r->seconds_p99 * 1e6, gb, share_read, gop, share_peak,
                r->difference.nmse, text, r->detail);
    } else {
        const char *label = strchr(text, '#');
        if (r->status == BENCH_MEASURED)
            fprintf(
                out,
                "%10.1f us  %7.2f GB/s %5.1f%% of read  %8.1f GOP/s %5.1f%% of peak  %-40s %s\n",
                r->seconds * 1e6, gb, 100 * share_read, gop, 100 * share_peak, r->kernel,
                label ? label + 1 : text);
        else
            fprintf(out, "%-11s %-36s %s%s%s\n", bench_status_name(r->status), r->kernel,
                    label ? label + 1 : "", label ? ": " : "", r->detail);
        if (bench_status_fails(r->status))
            fprintf(out, "    repro: tenonbench --lib=%s --mode=%c --seed=%llu%s%s%s '%s'\n",
                    library, options->mode, (unsigned long long)options->seed,
                    options->pack ? " --pack" : "", options->kernel ? " --impl=" : "",
                    options->kernel ? options->kernel : "", text);
    }
    first_record = false;
    fflush(out);
}

void bench_report_end(const bench_options *options) {
    if (is(options, "json")) fprintf(options->out, "\n]}\n");
}
