/* scoreboard.h — a contest of methods as people and programs read it: cells as they are done, then
 * how the methods stand, as tables or as JSON Lines. */
#ifndef SCOREBOARD_H
#define SCOREBOARD_H

#include "contest.h"
#include "search.h"

struct scoreboard {
    struct contest contest;
    const char *const *methods, *const *features; /* names, as many as the contest has */
    const int64_t *budgets;
    uint64_t seed;   /* the first of the seeds */
    size_t rival;    /* the method that the others are held against; as in contest.h */
    const char *run; /* id of the run line */
    int width;       /* of the features' names */
};

void scoreboard_head(const struct scoreboard *b);
/* What every method reached in a cell that counts; with their texts. */
void scoreboard_cell(const struct scoreboard *b, size_t seed, size_t feature, size_t budget,
                     bool texts);
/* A run's line, owned by the caller. */
json_t *scoreboard_line(const struct scoreboard *b, size_t seed, size_t feature, size_t budget,
                        size_t method);
/* The number of a seed as options and lines have it. */
uint64_t scoreboard_seed(const struct scoreboard *b, size_t seed);
/* How the methods stand, from the cells that count. false: no memory. */
bool scoreboard_conclude(const struct scoreboard *b, bool json);

#endif
