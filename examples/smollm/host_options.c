/* SPDX-License-Identifier: Apache-2.0 */
#include "host_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef enum option_kind { OPTION_TEXT, OPTION_INTEGER, OPTION_REAL, OPTION_SWITCH } option_kind;

typedef struct option_row {
    const char *name, *value_name;
    option_kind kind;
    void *out;
    long low, high; /* integers */
    const char *help;
} option_row;

/* Options that choose from words are read as text and looked up afterwards. */
typedef struct raw_words {
    const char *kv, *moe;
    int32_t seed;
    bool int8;
} raw_words;

enum { OPTION_COUNT = 19 };

static void list_options(option_row rows[OPTION_COUNT], host_options *o, raw_words *words) {
    const option_row list[OPTION_COUNT] = {
        {"--model", "FILE", OPTION_TEXT, &o->model_path, 0, 0, "GGUF file of a llama model"},
        {"--lib", "FILE", OPTION_TEXT, &o->library_path, 0, 0,
         "libtenon.so; default: beside this program, else by the loader's search"},
        {"--tokens", "N", OPTION_INTEGER, &o->max_tokens, 1, 1 << 20,
         "stop after N new tokens (128)"},
        {"--threads", "N", OPTION_INTEGER, &o->n_threads, 0, 4096,
         "threads for Tenon; 0: all that this process may use (0)"},
        {"--temperature", "T", OPTION_REAL, &o->temperature, 0, 0,
         "0: always the likeliest token (0)"},
        {"--seed", "N", OPTION_INTEGER, &words->seed, 0, INT32_MAX,
         "of sampling and of the routers of --moe (1)"},
        {"--system", "TEXT", OPTION_TEXT, &o->system, 0, 0,
         "system message; default: the model's own"},
        {"--raw", NULL, OPTION_SWITCH, &o->raw, 0, 0,
         "the prompt as it is, without the chat form; names of control tokens are understood"},
        {"--moe", "steps|fused", OPTION_TEXT, &words->moe, 0, 0,
         "every MLP as 8 equal experts behind a random router, top 2"},
        {"--pack-experts", NULL, OPTION_SWITCH, &o->session.pack_experts, 0, 0,
         "with --moe: pack all 8 copies instead of sharing the file's blocks"},
        {"--int8", NULL, OPTION_SWITCH, &words->int8, 0, 0,
         "8-bit activations inside matmuls (TENON_COMPUTE_DEFAULT): faster, near ties may tip"},
        {"--kv", "TYPE", OPTION_TEXT, &words->kv, 0, 0,
         "KV cache of f16, bf16 or f32, or in the library's native layout (f16)"},
        {"--page", "N", OPTION_INTEGER, &o->session.page_size, 1, 1 << 16,
         "tokens in a page of the cache (16)"},
        {"--chunk", "N", OPTION_INTEGER, &o->session.chunk, 1, 1 << 14,
         "prompt tokens in one pass (256)"},
        {"--ids", NULL, OPTION_SWITCH, &o->print_ids, 0, 0,
         "print token ids, \"prompt: ..\" and \"generated: ..\", instead of text"},
        {"--logits", "FILE", OPTION_TEXT, &o->logits_path, 0, 0,
         "write the f32 logits behind each new token, one row after the other"},
        {"--json", NULL, OPTION_SWITCH, &o->json, 0, 0,
         "end with one line of JSON instead of the table"},
        {"--past-end", NULL, OPTION_SWITCH, &o->past_end, 0, 0,
         "do not stop at the end-of-text token (to measure)"},
        {"--help", NULL, OPTION_SWITCH, &o->help, 0, 0, "print this"},
    };
    memcpy(rows, list, sizeof list);
}

static bool store_value(const option_row *row, const char *value, host_error *error) {
    char *end;
    errno = 0;
    if (row->kind == OPTION_TEXT) {
        *(const char **)row->out = value;
        return true;
    }
    if (row->kind == OPTION_INTEGER) {
        const long number = strtol(value, &end, 10);
        if (end == value || *end || errno || number < row->low || number > row->high) {
            return host_fail(error, "%s %s: an integer from %ld to %ld is needed", row->name, value,
                             row->low, row->high);
        }
        *(int32_t *)row->out = (int32_t)number;
        return true;
    }
    const float number = strtof(value, &end);
    if (end == value || *end || !(number >= 0.0f && number <= 100.0f)) {
        return host_fail(error, "%s %s: a number from 0 to 100 is needed", row->name, value);
    }
    *(float *)row->out = number;
    return true;
}

static bool look_up_words(host_options *options, const raw_words *words, host_error *error) {
    static const struct {
        const char *name;
        DLDataType type;
    } kv_types[] = {{"f16", {kDLFloat, 16, 1}},
                    {"bf16", {kDLBfloat, 16, 1}},
                    {"f32", {kDLFloat, 32, 1}},
                    {"native", {kDLUInt, 8, 1}}};
    options->session.seed = (uint64_t)words->seed;
    options->session.compute = words->int8 ? TENON_COMPUTE_DEFAULT : TENON_COMPUTE_EXACT;
    options->kv_name = NULL;
    for (size_t i = 0; i < sizeof kv_types / sizeof kv_types[0]; i++) {
        if (strcmp(words->kv, kv_types[i].name)) continue;
        options->session.kv_type = kv_types[i].type;
        options->session.kv_native = strcmp(words->kv, "native") == 0;
        options->kv_name = kv_types[i].name;
    }
    if (!options->kv_name) return host_fail(error, "--kv %s: f16, bf16, f32 or native", words->kv);
    if (!words->moe) return true;
    options->session.moe = strcmp(words->moe, "steps") == 0   ? MOE_STEPS
                           : strcmp(words->moe, "fused") == 0 ? MOE_FUSED
                                                              : MOE_OFF;
    return options->session.moe != MOE_OFF ||
           host_fail(error, "--moe %s: steps or fused", words->moe);
}

bool host_options_parse(host_options *options, int argument_count, char **arguments,
                        host_error *error) {
    raw_words words = {.kv = "f16", .seed = 1};
    option_row rows[OPTION_COUNT];
    *options = (host_options){.max_tokens = 128, .session = {.chunk = 256, .page_size = 16}};
    list_options(rows, options, &words);
    for (int i = 1; i < argument_count; i++) {
        const char *argument = arguments[i];
        if (argument[0] != '-' || argument[1] != '-') {
            if (options->prompt) {
                return host_fail(error, "two prompts: '%s' and '%s'; quote a prompt with blanks",
                                 options->prompt, argument);
            }
            options->prompt = argument;
            continue;
        }
        const char *equals = strchr(argument, '=');
        const size_t name_bytes = equals ? (size_t)(equals - argument) : strlen(argument);
        const option_row *row = NULL;
        for (int r = 0; r < OPTION_COUNT; r++) {
            if (strlen(rows[r].name) == name_bytes &&
                memcmp(rows[r].name, argument, name_bytes) == 0) {
                row = &rows[r];
            }
        }
        if (!row) return host_fail(error, "unknown option %s", argument);
        if (row->kind == OPTION_SWITCH) {
            if (equals) return host_fail(error, "%s takes no value", row->name);
            *(bool *)row->out = true;
            continue;
        }
        const char *value = equals ? equals + 1 : i + 1 < argument_count ? arguments[++i] : NULL;
        if (!value) return host_fail(error, "%s needs a value", row->name);
        if (!store_value(row, value, error)) return false;
    }
    if (options->help) return true;
    if (!options->prompt) return host_fail(error, "no prompt; --help shows the options");
    if (!options->model_path) return host_fail(error, "no --model; --help shows the options");
    return look_up_words(options, &words, error);
}

void host_options_print_usage(FILE *out, const char *program) {
    host_options unused;
    raw_words words;
    option_row rows[OPTION_COUNT];
    list_options(rows, &unused, &words);
    fprintf(out, "usage: %s --model FILE [options] PROMPT\n", program);
    for (int r = 0; r < OPTION_COUNT; r++) {
        char left[40];
        snprintf(left, sizeof left, "%s %s", rows[r].name,
                 rows[r].value_name ? rows[r].value_name : "");
        fprintf(out, "  %-20s %s\n", left, rows[r].help);
    }
}
