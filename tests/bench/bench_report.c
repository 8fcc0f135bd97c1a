/* SPDX-License-Identifier: Apache-2.0 */
/* One result in three forms. All three say when, on what and by which command. */
#include <string.h>

#include "bench_machine.h"
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

static bool is(const bench_output *output, const char *report) {
    return !strcmp(output->report, report);
}

/* What stands behind the # of a problem; the problem itself where there is none. */
static const char *label_of(const char *text) {
    const char *label = strchr(text, '#');
    return label ? label + 1 + strspn(label + 1, " ") : text;
}

static void put_json_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', out);
        if ((unsigned char)*text >= 0x20) fputc(*text, out);
    }
    fputc('"', out);
}

/* "name": "value", */
static void put_json_text(FILE *out, const char *name, const char *value) {
    fprintf(out, "\"%s\": ", name);
    put_json_string(out, value);
    fputs(", ", out);
}

static void put_csv_string(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"') fputc('"', out);
        fputc(*text, out);
    }
    fputc('"', out);
}

void bench_report_begin(bench_output *output, const bench_options *options) {
    char date[40], cpu[200], features[300];
    FILE *out = output->file;
    bench_machine_date(date, sizeof date);
    bench_machine_cpu(cpu, sizeof cpu);
    bench_machine_features(features, sizeof features);
    output->first_record = true;
    if (is(output, "json")) {
        fprintf(out, "{\"run\": {");
        put_json_text(out, "date", date);
        put_json_text(out, "cpu", cpu);
        put_json_text(out, "features", features);
        fprintf(out, "\"mode\": \"%c\", \"seed\": %llu, \"command\": ", options->mode,
                (unsigned long long)options->seed);
        put_json_string(out, output->command);
        fprintf(out, "},\n\"results\": [");
    } else if (is(output, "csv")) {
        fprintf(out,
                "# %s\n# %s: %s\n# %s\nstatus,library,kernel,threads,us,us_low,us_high,us_min,"
                "us_p99,gb_per_s,gop_per_s,bound,share,share_low,share_high,probe,samples,dropped,"
                "disturbed,nmse,label,problem,detail\n",
                date, cpu, features, output->command);
    } else if (options->mode == 'P') {
        fprintf(out, "%s, %s: %s\n%s\n", date, cpu, features, output->command);
    }
}

void bench_report_limits(bench_output *output, const bench_limits *limits) {
    if (is(output, "text"))
        fprintf(
            output->file,
            "limits, %d thread%s: read %.1f GB/s; f32 %.0f, bf16 %.0f, int8 %.0f GOP/s. Samples "
            "kept + dropped behind |.\n",
            limits->n_threads, limits->n_threads == 1 ? "" : "s", limits->rate[BENCH_BOUND_READ],
            limits->rate[BENCH_PEAK_F32], limits->rate[BENCH_PEAK_BF16],
            limits->rate[BENCH_PEAK_INT8]);
}

static const char *bound_name(const bench_result *r) {
    return r->paged ? "pages" : bench_bound_name(r->bound);
}

typedef struct rates {
    double gb, gop; /* per second */
} rates;

static rates rates_of(const bench_result *r) {
    double s = r->seconds.median;
    return s > 0 ? (rates){r->cost.bytes / s / 1e9, r->cost.operations / s / 1e9} : (rates){0, 0};
}

static void put_json(bench_output *output, const bench_options *options, const bench_limits *limits,
                     const char *library, const char *text, const bench_result *r) {
    FILE *out = output->file;
    rates rate = rates_of(r);
    double read = limits->rate[BENCH_BOUND_READ],
           peak = r->cost.peak < BENCH_PEAK_NONE ? limits->rate[r->cost.peak] : 0;
    fprintf(out, "%s\n{\"status\": \"%s\", ", output->first_record ? "" : ",",
            bench_status_name(r->status));
    put_json_text(out, "label", label_of(text));
    put_json_text(out, "library", library);
    put_json_text(out, "kernel", r->kernel);
    fprintf(out, "\"threads\": %d, \"lengths\": \"%s\", \"pack\": %s, \"pages\": \"%s\", ",
            options->n_threads, bench_lengths_name(options->lengths),
            options->pack ? "true" : "false", options->small_pages ? "small" : "huge");
    if (r->status == BENCH_MEASURED)
        fprintf(out,
                "\"us\": %.3f, \"us_low\": %.3f, \"us_high\": %.3f, \"us_min\": %.3f, \"us_p99\": "
                "%.3f, \"bytes\": %.0f, \"operations\": %.0f, \"gb_per_s\": %.3f, \"gop_per_s\": "
                "%.2f, \"bound\": \"%s\", \"peak\": \"%s\", \"share\": %.4f, \"share_low\": %.4f, "
                "\"share_high\": %.4f, \"probe\": %.2f, \"share_of_read\": %.4f, "
                "\"share_of_peak\": %.4f, \"samples\": %d, \"dropped\": %d, \"disturbed\": %s, ",
                r->seconds.median * 1e6, r->seconds.low * 1e6, r->seconds.high * 1e6,
                r->seconds_least * 1e6, r->seconds_p99 * 1e6, r->cost.bytes, r->cost.operations,
                rate.gb, rate.gop, bound_name(r),
                r->cost.peak < BENCH_PEAK_NONE ? bench_bound_name(r->cost.peak) : "",
                r->share.median, r->share.low, r->share.high, r->probe,
                r->bound == BENCH_BOUND_READ ? r->share.median
                : read > 0                   ? rate.gb / read
                                             : 0,
                r->bound != BENCH_BOUND_READ ? r->share.median
                : peak > 0                   ? rate.gop / peak
                                             : 0,
                r->samples, r->dropped, r->disturbed ? "true" : "false");
    else if (r->status == BENCH_PASSED || r->status == BENCH_FAILED)
        fprintf(out, "\"nmse\": %.3e, ", r->difference.nmse < 1e300 ? r->difference.nmse : 1e300);
    put_json_text(out, "problem", text);
    fprintf(out, "\"detail\": ");
    put_json_string(out, r->detail);
    fprintf(out, "}");
}

static void put_csv(const bench_output *output, const bench_options *options, const char *library,
                    const char *text, const bench_result *r) {
    FILE *out = output->file;
    rates rate = rates_of(r);
    fprintf(out, "%s,", bench_status_name(r->status));
    put_csv_string(out, library);
    fprintf(out, ",%s,%d,%.3f,%.3f,%.3f,%.3f,%.3f,%.3f,%.2f,%s,%.4f,%.4f,%.4f,%.2f,%d,%d,%d,%.3e,",
            r->kernel, options->n_threads, r->seconds.median * 1e6, r->seconds.low * 1e6,
            r->seconds.high * 1e6, r->seconds_least * 1e6, r->seconds_p99 * 1e6, rate.gb, rate.gop,
            r->status == BENCH_MEASURED ? bound_name(r) : "", r->share.median, r->share.low,
            r->share.high, r->probe, r->samples, r->dropped, r->disturbed, r->difference.nmse);
    put_csv_string(out, label_of(text));
    fputc(',', out);
    put_csv_string(out, text);
    fputc(',', out);
    put_csv_string(out, r->detail);
    fputc('\n', out);
}

static void put_text(const bench_output *output, const bench_options *options, const char *library,
                     const char *text, const bench_result *r) {
    FILE *out = output->file;
    rates rate = rates_of(r);
    if (r->status == BENCH_MEASURED)
        fprintf(out,
                "%10.1f us %7.2f GB/s %8.1f GOP/s  %5.1f%% of %-5s (%.1f..%.1f) | %3d+%-3d%s %-36s "
                "%s\n",
                r->seconds.median * 1e6, rate.gb, rate.gop, 100 * r->share.median, bound_name(r),
                100 * r->share.low, 100 * r->share.high, r->samples, r->dropped,
                r->disturbed ? " DISTURBED" : "", r->kernel, label_of(text));
    else
        fprintf(out, "%-11s %-36s %s%s%s\n", bench_status_name(r->status), r->kernel,
                strchr(text, '#') ? label_of(text) : "", strchr(text, '#') ? ": " : "", r->detail);
    if (bench_status_fails(r->status))
        fprintf(out,
                "    repro: tenonbench --lib=%s --mode=%c --seed=%llu --threads=%d%s%s%s '%s'\n",
                library, options->mode, (unsigned long long)options->seed, options->n_threads,
                options->pack ? " --pack" : "", options->kernel_pattern[0] ? " --impl=" : "",
                options->kernel_pattern, text);
}

void bench_report(bench_output *output, const bench_options *options, const bench_limits *limits,
                  const char *library, const char *text, const bench_result *r) {
    if (is(output, "json"))
        put_json(output, options, limits, library, text, r);
    else if (is(output, "csv"))
        put_csv(output, options, library, text, r);
    else
        put_text(output, options, library, text, r);
    output->first_record = false;
    fflush(output->file);
}

void bench_report_ratio(bench_output *output, const bench_result *results) {
    const bench_estimate *ratio = &results[0].ratio;
    if (results[0].ratio_pairs == 0) return;
    if (is(output, "json"))
        fprintf(output->file,
                ",\n{\"status\": \"RATIO\", \"ratio\": %.5f, \"low\": %.5f, \"high\": %.5f, "
                "\"pairs\": %d}",
                ratio->median, ratio->low, ratio->high, results[0].ratio_pairs);
    else
        fprintf(output->file,
                "%sA/B %.4f (%.4f..%.4f, 95%% of the median of %d pairs of neighbours)\n",
                is(output, "csv") ? "# " : "    ", ratio->median, ratio->low, ratio->high,
                results[0].ratio_pairs);
}

void bench_report_end(bench_output *output, const bench_limits *all, int n) {
    FILE *out = output->file;
    if (!is(output, "json")) return;
    fprintf(out, "\n],\n\"limits\": [");
    for (int i = 0; i < n; i++)
        fprintf(out,
                "%s{\"threads\": %d, \"read_gb_per_s\": %.2f, \"f32_gop_per_s\": %.1f, "
                "\"bf16_gop_per_s\": %.1f, \"int8_gop_per_s\": %.1f}",
                i ? ", " : "", all[i].n_threads, all[i].rate[BENCH_BOUND_READ],
                all[i].rate[BENCH_PEAK_F32], all[i].rate[BENCH_PEAK_BF16],
                all[i].rate[BENCH_PEAK_INT8]);
    fprintf(out, "]}\n");
}
