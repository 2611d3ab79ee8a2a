/* schema.c — schema.sql as a text of the library: the assembler includes the file whose path CMake
 * gives; a 0 follows it. */
#include "store/schema.h"

__asm__(".pushsection .rodata\n"
        ".global ph__schema\n"
        ".hidden ph__schema\n"
        "ph__schema: .incbin \"" PH_SCHEMA_PATH "\"\n"
        ".byte 0\n"
        ".popsection\n");
