/* main.c — the table of commands. */
#include "opt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct command commands[] = {
    {"dream", "find the texts a feature responds to (the main job)", cmd_dream},
    {"scan", "complete search: every vocabulary token alone, exact", cmd_scan},
    {"corpus", "what features do on ordinary text", cmd_corpus},
    {"score", "the activation of a text, token by token", cmd_score},
    {"attribute", "which tokens of a text cause the activation", cmd_attribute},
    {"effect", "what a unit does next: the tokens it raises, the text it changes", cmd_effect},
    {"near", "neighbours of tokens and of found embeddings", cmd_near},
    {"recover", "find a text again from the hidden layer it produced", cmd_recover},
    {"sweep", "many features and models, unit by unit, resumable, on many processors", cmd_sweep},
    {"show", "what the store holds, as a table", cmd_show},
    {"serve", "the page in the browser: look, score, search and watch", cmd_serve},
    {"report", "what the store holds, as one HTML file", cmd_report},
    {"export", "the store as JSON Lines, CSV, NumPy arrays or Neuronpedia's JSON", cmd_export},
    {"store", "merge, import and check stores", cmd_store},
    {"info", "the model: family, sizes, tensors, memory a job needs", cmd_info},
    {"tokenize", "text to token ids and pieces, and back", cmd_tokenize},
    {"pull", "download a model into Hugging Face's cache, where -m ORG/NAME finds it", cmd_pull},
    {"compare", "methods side by side: ranks, win rates, activation against cost", cmd_compare},
    {"compare-models", "two files of one shape: do they answer, rank and rise alike?",
     cmd_compare_models},
    {"bench", "how fast this machine is, and what share of that our work reaches", cmd_bench},
};

static void help(FILE *out)
{
    fputs("phosphene: find the input text that a unit of a language model responds to\n\n"
          "Usage: phosphene COMMAND [OPTION…] …\n\n",
          out);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].summary);
    fputs("\nExamples:\n"
          "  phosphene dream 'block 8 [:, :, 0-4]'\n"
          "  phosphene score 'block 8 [:, :, 2]' 'The sky is blue.'\n"
          "  phosphene dream --help\n\n"
          "The model is a GGUF file, a Hugging Face folder, or ORG/NAME in Hugging Face's\n"
          "cache: -m MODEL, else $PHOSPHENE_MODEL, else the one that script/fetch-model\n"
          "fetched. What 'block 8 [:, :, 0-4]' means: docs/FEATURES.md.\n",
          out);
}

/* By default libgomp's waiting threads spin for milliseconds: beside another busy program that makes
 * everything a hundred times slower. It reads its settings before main, so start once more. */
static void wait_politely(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
    setenv("GOMP_SPINCOUNT", "1000", 1);
    execv("/proc/self/exe", argv); /* on failure go on as we are */
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;

    wait_politely(argv);

    if (!name) {
        help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("phosphene %s\n", ph_version());
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (strcmp(name, commands[i].name) == 0) return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "phosphene: unknown command \"%s\"; phosphene --help lists them\n", name);
    return EXIT_USAGE;
}
