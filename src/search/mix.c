/* mix.c — the shipped corpus, data/corpus.txt, as bytes of the library.
 *
 * The assembler includes the file whose path CMake gives; a 0 follows it.
 */
#include <phosphene.h>

__asm__(".pushsection .rodata\n"
        ".global ph__mix\n"
        ".hidden ph__mix\n"
        ".global ph__mix_bytes\n"
        ".hidden ph__mix_bytes\n"
        ".balign 8\n"
        "ph__mix_bytes: .quad 1f - ph__mix\n"
        "ph__mix: .incbin \"" PH_MIX_PATH "\"\n"
        "1: .byte 0\n"
        ".popsection\n");
extern const char ph__mix[] __attribute__((visibility("hidden")));
extern const uint64_t ph__mix_bytes __attribute__((visibility("hidden")));

const char *ph_corpus_mix(size_t *bytes)
{
    if (bytes) *bytes = (size_t)ph__mix_bytes;
    return ph__mix;
}
