/* SPDX-License-Identifier: Apache-2.0 */
/* No reference row is ever chosen: asks `query`, without data, for every problem of
 * configurations/ at every level of instruction sets that this CPU has, and checks that the kernel
 * which would run does not have the trait REFERENCE. What does not hold yet stands in
 * configurations/known_holes.txt, which must be exact. CONFIGURATIONS_SHOWN: how many to print, 40.
 *
 * The language of configurations/. A line is a problem string (tests/bench/doc/problem_strings.md)
 * with alternatives: <a/b/c> stands for each of a, b and c in turn, an empty alternative for
 * nothing; they nest, and a line stands for their product. "let name = text" names a text, which
 * stands where $name is written; $name(a;b) replaces $1 by a and $2 by b in it, before anything
 * else. A line that begins with spaces goes on with the one before; "#" begins a comment line. */
#include <fnmatch.h>

#include "bench_problem.h"
#include "configuration_coverage.h"
#include "configuration_text.h"
#include "test_host.h"

enum { MAX_HOLES = 400 };

/* ---- levels: what the library itself says that this CPU has, and less ---- */

typedef struct level {
    const char *name, *features; /* of tenon_device_info.feature_text, in words; NULL: all */
    tenon_context *context;      /* NULL: this CPU lacks some of them */
} level;

static level levels[] = {
    {"avx2", "avx2 fma f16c", NULL},
    {"avx512", "avx2 fma f16c avx512f avx512bw avx512vl avx512dq", NULL},
    {"avx512vnni",
     "avx2 fma f16c avx512f avx512bw avx512vl avx512dq avx512_vnni avx512_bf16 avx512vbmi", NULL},
    {"neon", "neon", NULL},
    {"neondot", "neon dotprod", NULL},
    {"neonbf16", "neon dotprod i8mm bf16", NULL},
    {"all", NULL, NULL},
};
enum { LEVELS = sizeof levels / sizeof *levels };

static tenon_context *context_of(const tenon_api *api, uint64_t features) {
    tenon_context_options options = {.struct_size = sizeof options,
                                     .backend = TENON_BACKEND_CPU,
                                     .n_threads = 1,
                                     .log_level = -1,
                                     .cpu_features = features};
    tenon_context *context = NULL;
    tenon_error error = {.struct_size = sizeof error};
    if (api->context_create(&options, &context, &error)) {
        fprintf(stderr, "context_create: %s\n", error.text);
        exit(2);
    }
    return context;
}

/* The mask of the features that `wanted` names; 0 if one is missing. The words of feature_text are
 * the bits of features, lowest first. */
static uint64_t mask_of(const tenon_device_info *info, const char *wanted) {
    uint64_t mask = 0;
    for (const char *w = wanted; *w; w += strspn(w, " ")) {
        const size_t length = strcspn(w, " ");
        uint64_t bits = info->features, found = 0;
        for (const char *t = info->feature_text; *t && bits; t += strspn(t, " ")) {
            const size_t n = strcspn(t, " ");
            if (n == length && !memcmp(t, w, n)) found = bits & (~bits + 1);
            bits &= bits - 1;
            t += n;
        }
        if (!found) return 0;
        mask |= found;
        w += length;
    }
    return mask;
}

static void open_levels(const tenon_api *api) {
    tenon_context *all = context_of(api, 0);
    tenon_device_info info = {.struct_size = sizeof info};
    api->probe(all, 0, &info, NULL);
    for (int i = 0; i < LEVELS; i++) {
        const uint64_t mask = levels[i].features ? mask_of(&info, levels[i].features) : 0;
        if (!levels[i].features)
            levels[i].context = all;
        else if (mask)
            levels[i].context = context_of(api, mask);
        else
            printf("level %s: not asked, this CPU lacks it\n", levels[i].name);
    }
}

/* ---- known holes ---- */

/* "levels: words # reason". levels: names with commas, or *. A problem matches if every word
 * matches (fnmatch) one of its words; a word that begins with "!" must match none. */
typedef struct hole {
    char *text, *words;
    bool at[LEVELS];
    bool matches; /* the problem that is being asked */
    long reference, filled;
    char *example; /* of what is filled */
} hole;

static hole holes[MAX_HOLES];
static int n_holes;

static void add_hole(char *text) {
    CHECK(n_holes < MAX_HOLES, "too many known holes");
    char *whole = strdup(text);
    text = strdup(text);
    char *colon = strchr(text, ':'), *reason = strstr(text, " # ");
    CHECK(colon && reason && reason > colon, "known hole without levels or reason: %s", text);
    if (!colon || !reason || n_holes == MAX_HOLES) exit(1);
    hole *h = &holes[n_holes++];
    *h = (hole){.text = whole, .words = colon + 1 + strspn(colon + 1, " ")};
    *colon = *reason = 0;
    for (int i = 0; i < LEVELS; i++) {
        char padded[200], name[40];
        snprintf(padded, sizeof padded, ",%s,", text);
        snprintf(name, sizeof name, ",%s,", levels[i].name);
        h->at[i] = !strcmp(text, "*") || strstr(padded, name);
    }
}

static bool word_is_in(const char *pattern, const char *problem) {
    char word[256];
    for (const char *p = problem; *p; p += strspn(p, " ")) {
        const size_t n = strcspn(p, " ");
        if (n < sizeof word) {
            memcpy(word, p, n);
            word[n] = 0;
            if (!fnmatch(pattern, word, 0)) return true;
        }
        p += n;
    }
    return false;
}

static bool hole_matches(const hole *h, const char *problem) {
    char pattern[256];
    /* The first word is the operation. */
    const size_t op = strcspn(h->words, " ");
    if (strncmp(problem, h->words, op) || problem[op] != ' ') return false;
    for (const char *p = h->words; *p; p += strspn(p, " ")) {
        const size_t n = strcspn(p, " ");
        const bool not = *p == '!';
        if (n >= sizeof pattern) return false;
        memcpy(pattern, p + not, n - not);
        pattern[n - not] = 0;
        if (word_is_in(pattern, problem) == not) return false;
        p += n;
    }
    return true;
}

static void match_holes(const char *problem) {
    for (int i = 0; i < n_holes; i++) holes[i].matches = hole_matches(&holes[i], problem);
}

/* ---- one problem ---- */

static const tenon_api *library;
static long n_problems, n_asked, n_references, n_shown, most_shown = 40;

/* What the chosen kernel says, against the known holes. */
static void judge(const char *problem, int at, const tenon_query *q) {
    n_asked++;
    /* Valid and refused is no better than slow. */
    const bool reference = q->status == TENON_STATUS_UNSUPPORTED ||
                           (!q->status && (q->traits & TENON_TRAIT_REFERENCE));
    if (q->status && !reference) {
        test_checks++, test_failures++;
        fprintf(stderr, "not a valid problem, at %s: %s\n    %s\n", levels[at].name, problem,
                q->reason);
        return;
    }
    bool known = false;
    n_references += reference;
    for (int i = 0; i < n_holes; i++) {
        if (!holes[i].at[at] || !holes[i].matches) continue;
        known = true;
        *(reference ? &holes[i].reference : &holes[i].filled) += 1;
        if (!reference && !holes[i].example) {
            char text[1400];
            snprintf(text, sizeof text, "level %s: %s runs %s", levels[at].name, problem,
                     q->kernel);
            holes[i].example = strdup(text);
        }
    }
    test_checks++;
    if (reference && !known) {
        test_failures++;
        if (n_shown++ < most_shown)
            fprintf(stderr, "%s at %s: %s\n    %s\n",
                    q->status ? "refused" : "the reference is chosen", levels[at].name, problem,
                    q->reason);
    }
}

/* ---- packed weights: what pack_weights made at a level, in everything that reads it there ---- */

/* Asks one reader of a blob. from: the problem of pack_weights, whose words stand in the reader's
 * text behind "from.". */
static void ask_reader(int at, const char *reader, void *blob, const char *from) {
    bench_problem p;
    char text[2048];
    tenon_query q = {.struct_size = sizeof q};
    if (!bench_parse(library, reader, &p)) {
        CHECK(false, "%s: %s", reader, p.message);
        return;
    }
    for (int32_t i = 0; i < p.n_tensors; i++)
        if (p.tensor[i].member < 0 && p.tensor[i].view.ndim == 1 &&
            p.tensor[i].view.dtype.code == kDLUInt)
            p.tensor[i].view.data = blob;
    cover(library, &p);
    library->query(levels[at].context, p.info->op, p.args.bytes, NULL, &q, NULL);
    int used = snprintf(text, sizeof text, "%s", reader);
    const bool same_words = p.info->op == TENON_OP_UNPACK_WEIGHTS;
    for (const char *w = strchr(from, ' '); !same_words && w; w = strchr(w + 1, ' '))
        if (!strncmp(w, " w", 2))
            used += snprintf(text + used, sizeof text - (size_t)used, " from.%.*s",
                             (int)strcspn(w + 1, " "), w + 1);
    match_holes(text);
    judge(text, at, &q);
    bench_free(&p);
}

static void ask_readers(int at, const char *pack, char *blob, long long bytes) {
    static const char *const types[] = {"bf16", "f16", "f32"}, *const modes[] = {"DEFAULT",
                                                                                 "EXACT"};
    int64_t experts, n, k; /* FORMATS.md, "Packed weights" */
    char text[2048];
    memcpy(&experts, blob + 152, 8), memcpy(&n, blob + 160, 8), memcpy(&k, blob + 168, 8);
    const long long e = experts, rows = n, cols = k;
    for (int t = 0; t < 3; t++) {
        for (int m = 0; m < 2; m++) {
            if (e)
                snprintf(text, sizeof text,
                         "moe_matmul x=%s[10,%lld] w=u8[%lld] w_quant.format=PACKED "
                         "expert_offsets=i32[%lld] out=f32[10,%lld] compute=%s",
                         types[t], cols, bytes, e + 1, rows, modes[m]);
            else
                snprintf(text, sizeof text,
                         "matmul a=%s[4,%lld] w=u8[%lld] w_quant.format=PACKED out=f32[4,%lld] "
                         "compute=%s",
                         types[t], cols, bytes, rows, modes[m]);
            ask_reader(at, text, blob, pack);
        }
        char leading[30] = "";
        if (e) snprintf(leading, sizeof leading, "%lld,", e);
        snprintf(text, sizeof text, "dequantize q=u8[%lld] q_quant.format=PACKED x=%s[%s%lld,%lld]",
                 bytes, types[t], leading, rows, cols);
        ask_reader(at, text, blob, pack);
    }
    const char *words = strchr(pack, ' '), *end = strstr(pack, " blob=");
    snprintf(text, sizeof text, "unpack_weights%.*s blob=u8[%lld]", (int)(end - words), words,
             bytes);
    ask_reader(at, text, blob, pack);
}

/* Packs weights of any contents; a blob of the reference is not asked for: that pack is a hole. */
static void pack_and_ask(int at, bench_problem *p, const char *problem, const tenon_query *q) {
    if (q->status || (q->traits & TENON_TRAIT_REFERENCE)) return;
    tenon_error error = {.struct_size = sizeof error};
    char *blob = aligned_alloc(64, (q->output_bytes + 63) / 64 * 64);
    bench_tensor *out = bench_find(p, "blob");
    CHECK(blob && q->output_bytes, "%s: a blob of %llu bytes", problem,
          (unsigned long long)q->output_bytes);
    out->view.data = blob, out->shape[0] = (int64_t)q->output_bytes;
    const int32_t status =
        library->call(levels[at].context, TENON_OP_PACK_WEIGHTS, p->args.bytes, &error);
    CHECK(!status, "%s: %s", problem, error.text);
    if (!status) ask_readers(at, problem, blob, (long long)q->output_bytes);
    out->view.data = NULL, out->shape[0] = 0;
    free(blob);
}

static void ask(const char *problem) {
    bench_problem p;
    if (!bench_parse(library, problem, &p)) {
        CHECK(false, "%s: %s", problem, p.message);
        return;
    }
    const bool packs = p.info->op == TENON_OP_PACK_WEIGHTS;
    n_problems++;
    cover(library, &p);
    match_holes(problem);
    /* Weights without memory would be weights without contents for pack_weights. */
    if (packs && !bench_allocate(&p)) exit(2);
    for (int i = 0; i < LEVELS; i++) {
        tenon_query q = {.struct_size = sizeof q};
        if (!levels[i].context) continue;
        library->query(levels[i].context, p.info->op, p.args.bytes, NULL, &q, NULL);
        if (packs) match_holes(problem); /* its readers' matches stand there now */
        judge(problem, i, &q);
        if (packs) pack_and_ask(i, &p, problem, &q);
    }
    bench_free(&p);
}

static void ask_line(char *line) {
    configuration_line(line, ask);
}

int main(void) {
    static const char *const files[] = {"matmul", "attention", "moe"};
    if (getenv("CONFIGURATIONS_SHOWN")) most_shown = atol(getenv("CONFIGURATIONS_SHOWN"));
    setvbuf(stdout, NULL, _IOLBF, 0);
    library = test_load();
    open_levels(library);
    configuration_lines(TENON_CONFIGURATION_FOLDER "/known_holes.txt", add_hole);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char path[600];
        snprintf(path, sizeof path, "%s/%s.txt", TENON_CONFIGURATION_FOLDER, files[i]);
        configuration_lines(path, ask_line);
    }
    check_covered(library);
    for (int i = 0; i < n_holes; i++) {
        const hole *h = &holes[i];
        printf("known hole, %ld problems: %s\n", h->reference, h->text);
        CHECK(!h->filled,
              "known hole \"%s\" is filled in %ld of %ld problems: take it out of "
              "configurations/known_holes.txt, or narrow it. For example, at %s",
              h->text, h->filled, h->filled + h->reference, h->example);
        bool asked = false;
        for (int l = 0; l < LEVELS; l++) asked |= h->at[l] && levels[l].context;
        CHECK(!asked || h->filled + h->reference, "known hole \"%s\" matches no problem", h->text);
    }
    printf("%ld problems, %ld questions, %ld answered by the reference\n", n_problems, n_asked,
           n_references);
    return test_report();
}
