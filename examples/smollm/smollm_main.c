/* SPDX-License-Identifier: Apache-2.0 */
/* Generates text with a llama model from a GGUF file. All attention and every matmul, and with
 * --moe all routing and dispatch, is done by libtenon.so, which is opened at run time. */
#define _POSIX_C_SOURCE 200809L /* readlink, clock_gettime */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "chat_prompt.h"
#include "run_report.h"
#include "token_sampler.h"
#include "utf8_text.h"
#include "wall_clock.h"

/* Everything that main opens, so that it is closed in one place. */
typedef struct text_host {
    host_options options;
    gguf_file file;
    bpe_tokenizer *tokenizer;
    llama_model model;
    tenon_library library;
    llama_session session;
    token_list prompt;
    int32_t *generated; /* [max_tokens] */
    FILE *logits_file;
    run_report report;
} text_host;

/* libtenon.so in the folder of this program, where a build leaves both. */
static const char *library_beside_program(char *path, size_t size) {
    static const char name[] = "libtenon.so";
    const ssize_t length = readlink("/proc/self/exe", path, size - sizeof name);
    if (length > 0) {
        path[length] = '\0';
        char *slash = strrchr(path, '/');
        if (slash) {
            memcpy(slash + 1, name, sizeof name);
            if (access(path, R_OK) == 0) return path;
        }
    }
    return name;
}

static bool encode_prompt(text_host *host, host_error *error) {
    const host_options *options = &host->options;
    if (!options->raw) {
        return chat_prompt_encode(host->tokenizer, &host->file, options->system, options->prompt,
                                  &host->prompt, error);
    }
    return bpe_encode(host->tokenizer, options->prompt, strlen(options->prompt),
                      BPE_SPECIALS_PARSED, &host->prompt, error);
}

static bool open_all(text_host *host, host_error *error) {
    host_options *options = &host->options;
    char beside[4096];
    const double start = seconds_now();
    if (!gguf_open(&host->file, options->model_path, error) ||
        !(host->tokenizer = bpe_tokenizer_create(&host->file, error)) ||
        !llama_model_read(&host->model, &host->file, error) || !encode_prompt(host, error)) {
        return false;
    }
    if (bpe_vocabulary_size(host->tokenizer) != host->model.config.vocabulary) {
        return host_fail(error, "the tokenizer has %d tokens, the embedding %lld rows",
                         bpe_vocabulary_size(host->tokenizer),
                         (long long)host->model.config.vocabulary);
    }
    const int64_t length = (int64_t)host->prompt.count + options->max_tokens;
    if (host->prompt.count == 0) return host_fail(error, "the prompt has no token");
    if (length > host->model.config.max_context) {
        return host_fail(error, "%zu prompt tokens and %d new ones exceed the model's %lld",
                         host->prompt.count, options->max_tokens,
                         (long long)host->model.config.max_context);
    }
    options->session.max_length = (int32_t)length;
    if ((int64_t)options->session.chunk > (int64_t)host->prompt.count) {
        options->session.chunk = (int32_t)host->prompt.count;
    }
    host->generated = calloc((size_t)options->max_tokens, sizeof *host->generated);
    if (!host->generated) return host_fail(error, "out of memory for %d ids", options->max_tokens);
    if (options->logits_path && !(host->logits_file = fopen(options->logits_path, "wb"))) {
        return host_fail(error, "%s: %s", options->logits_path, strerror(errno));
    }
    const char *path = options->library_path ? options->library_path
                                             : library_beside_program(beside, sizeof beside);
    const bool done = tenon_library_open(&host->library, path, options->n_threads, error) &&
                      llama_session_create(&host->library, &host->session, &host->model,
                                           &options->session, error);
    host->report.load_seconds = seconds_now() - start;
    return done;
}

static void write_text(void *user, const char *text, size_t length_bytes) {
    fwrite(text, 1, length_bytes, user);
}

static void show_token(text_host *host, utf8_stream *stream, int32_t id) {
    if (host->options.print_ids || bpe_token_is_control(host->tokenizer, id)) return;
    const gguf_string bytes = bpe_token_bytes(host->tokenizer, id);
    utf8_stream_push(stream, bytes.bytes, bytes.length_bytes, write_text, stdout);
    fflush(stdout);
}

static bool save_logits(text_host *host, host_error *error) {
    if (!host->logits_file) return true;
    const size_t count = (size_t)host->session.config.vocabulary;
    return fwrite(host->session.logits, sizeof(float), count, host->logits_file) == count ||
           host_fail(error, "%s: cannot write", host->options.logits_path);
}

static bool generate(text_host *host, host_error *error) {
    const host_options *options = &host->options;
    llama_session *session = &host->session;
    run_report *report = &host->report;
    utf8_stream stream = {.held_bytes = 0};
    token_sampler sampler = {options->temperature,
                             random_stream_from((uint64_t)options->session.seed)};
    report->prompt_tokens = (int32_t)host->prompt.count;
    const double start = seconds_now();
    if (!llama_session_feed(&host->library, session, host->prompt.ids, report->prompt_tokens,
                            error)) {
        return false;
    }
    const double prompt_end = seconds_now();
    report->prompt_seconds = prompt_end - start;
    for (;;) {
        if (!save_logits(host, error)) return false;
        const int32_t id =
            token_sampler_pick(&sampler, session->logits, (int32_t)session->config.vocabulary);
        host->generated[report->generated_tokens++] = id;
        const bool ended = id == bpe_end_token(host->tokenizer) && !options->past_end;
        show_token(host, &stream, id);
        if (ended || report->generated_tokens == options->max_tokens) break;
        if (!llama_session_feed(&host->library, session, &id, 1, error)) return false;
        report->decode_steps++;
    }
    report->generation_seconds = seconds_now() - prompt_end;
    if (!options->print_ids) {
        utf8_stream_finish(&stream, write_text, stdout);
        putchar('\n');
    }
    return true;
}

static void print_ids(const char *name, const int32_t *ids, size_t count) {
    printf("%s:", name);
    for (size_t i = 0; i < count; i++) printf(" %d", ids[i]);
    putchar('\n');
}

static void close_all(text_host *host) {
    llama_session_free(&host->library, &host->session);
    tenon_library_close(&host->library);
    llama_model_free(&host->model);
    bpe_tokenizer_destroy(host->tokenizer);
    token_list_free(&host->prompt);
    gguf_close(&host->file);
    free(host->generated);
    if (host->logits_file) fclose(host->logits_file);
}

int main(int argument_count, char **arguments) {
    static text_host host;
    host_error error;
    if (!host_options_parse(&host.options, argument_count, arguments, &error)) {
        fprintf(stderr, "%s: %s\n", arguments[0], error.text);
        return 2;
    }
    if (host.options.help) {
        host_options_print_usage(stdout, arguments[0]);
        return 0;
    }
    const bool done = open_all(&host, &error) && generate(&host, &error);
    if (done) {
        if (host.options.print_ids) {
            print_ids("prompt", host.prompt.ids, host.prompt.count);
            print_ids("generated", host.generated, (size_t)host.report.generated_tokens);
        }
        run_report_print(stdout, &host.report, &host.options, &host.session, &host.library);
    } else {
        fflush(stdout);
        fprintf(stderr, "%s: %s\n", arguments[0], error.text);
    }
    close_all(&host);
    return done ? 0 : 1;
}
