/* pick.h — which files of a repository a name means. */
#ifndef PICK_H
#define PICK_H

#include <phosphene.h>

/* A repository's files by name, and which of them are meant. */
struct pick {
    const char *repository; /* "ORG/NAME", for messages; borrowed */
    const char **names;     /* borrowed */
    size_t n;
    bool *wanted; /* (n) */
};

/* A name that stays below the folder it is used in: relative, no "..", nothing unprintable. */
bool pick_is_safe(const char *name);

/* Those that `what` means: a file by its name, else the one model whose name contains `what` (Q4_K_M)
 * or matches it (*q4*.gguf), with all parts of a split one. PH_EIO names what there is instead. */
ph_status pick_named(struct pick *p, const char *what, ph_error *err);
/* Those that a folder needs to open: config.json, safetensors, tokenizer, template. Where there are
 * only GGUF files, the one model; PH_EINVAL, with those marked, where there are several. */
ph_status pick_folder(struct pick *p, ph_error *err);
/* The first file that is meant: of a split GGUF its first part, of a folder config.json. NULL: none. */
const char *pick_first(const struct pick *p);

#endif
