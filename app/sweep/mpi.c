/* mpi.c — the processes of an MPI job: rank 0 has the book and hands out units to the others.
 *
 * One message asks, one answers, both a few bytes; rank 0's server thread makes the call on its own
 * book. Nobody waits inside MPI for longer than an answer takes: Open MPI waits by spinning, and the
 * processor has better things to do. All of a rank's calls come from one thread at a time.
 */
#include "ranks.h"

#include <stdlib.h>

/* What mpirun and srun say. */
static long processes(void)
{
    static const char *const sizes[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const char *size = getenv(sizes[i]);
        if (size && strtol(size, NULL, 10) > 1) return strtol(size, NULL, 10);
    }
    return 1;
}

bool ranks_started(void)
{
    return processes() > 1;
}

#ifdef PH_HAVE_MPI

#include <mpi.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { TAG_ASK = 1, TAG_ANSWER };
enum { HELLO, TAKE, RENEW, RELEASE, FINISH, BYE };

struct message {
    int64_t what, unit; /* of an answer what is a ph_status */
    char text[160];     /* of an answer: the error's */
};

struct ranks {
    int rank, size;
    MPI_Comm comm;
    /* ---- rank 0 */
    bool serving;
    pthread_t thread;
    struct book book;
    char owner[160];
    atomic_int left;     /* ranks that have not said goodbye */
    atomic_bool give_up; /* no longer wait for them */
    ph_error err;        /* of the thread */
};

static void pause_ms(long ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

ph_status ranks_begin(struct ranks **out, int *rank, int *size, ph_error *err)
{
    int provided = 0;
    struct ranks *r = calloc(1, sizeof *r);

    *out = r;
    if (!r) {
        *err = (ph_error){PH_ENOMEM, -1, "out of memory"};
        return PH_ENOMEM;
    }
    MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &provided);
    MPI_Comm_dup(MPI_COMM_WORLD, &r->comm);
    MPI_Comm_rank(r->comm, &r->rank);
    MPI_Comm_size(r->comm, &r->size);
    *rank = r->rank;
    *size = r->size;
    if (r->size == 1)
        *err =
            (ph_error){PH_EUNSUPPORTED, -1,
                       "one of several processes that MPI takes for one alone: srun --mpi=pmix?"};
    else if (provided < MPI_THREAD_SERIALIZED)
        *err = (ph_error){PH_EUNSUPPORTED, -1, "only the main thread may call this MPI"};
    return err->code;
}

/* ---- rank 0 ---- */

static ph_status answer(struct ranks *r, int from, struct message *m, ph_error *err)
{
    char owner[192];
    long long unit = (long long)m->unit;
    ph_status st = PH_OK;

    snprintf(owner, sizeof owner, "%s/%d", r->owner, from);
    switch (m->what) {
    case HELLO: m->unit = (int64_t)r->book.units->digest; break;
    case TAKE: st = book_take(&r->book, owner, &unit, err); break;
    case RENEW: st = book_renew(&r->book, owner, unit, err); break;
    case RELEASE: st = book_release(&r->book, owner, unit, err); break;
    case FINISH: st = book_finish(&r->book, owner, unit, NULL, 0, err); break;
    default: r->left--; break;
    }
    if (m->what == TAKE) m->unit = unit;
    return st;
}

static void *serve(void *payload)
{
    struct ranks *r = payload;
    while (r->left > 0 && !r->give_up) {
        int there = 0;
        MPI_Status status;
        MPI_Iprobe(MPI_ANY_SOURCE, TAG_ASK, r->comm, &there, &status);
        if (!there) {
            pause_ms(1);
            continue;
        }
        struct message m;
        ph_error err = {0};
        MPI_Recv(&m, (int)sizeof m, MPI_BYTE, status.MPI_SOURCE, TAG_ASK, r->comm, &status);
        const ph_status st = answer(r, status.MPI_SOURCE, &m, &err);
        if (st != PH_OK) r->err = err;
        m.what = st;
        snprintf(m.text, sizeof m.text, "%.150s", err.msg);
        MPI_Send(&m, (int)sizeof m, MPI_BYTE, status.MPI_SOURCE, TAG_ANSWER, r->comm);
    }
    return NULL;
}

ph_status ranks_serve(struct ranks *r, const char *path, const struct units *units, double lease,
                      ph_error *err)
{
    ph_status st = book_open(&r->book, path, units, lease, err);
    if (st != PH_OK) return st;
    book_owner(r->owner, true);
    r->left = r->size - 1;
    r->serving = pthread_create(&r->thread, NULL, serve, r) == 0;
    if (r->serving) return PH_OK;
    *err = (ph_error){PH_EIO, -1, "no thread to answer the other ranks"};
    return PH_EIO;
}

ph_status ranks_wait(struct ranks *r, double patience, bool *hung, ph_error *err)
{
    if (!r->serving) return PH_OK;
    for (double waited = 0; r->left > 0 && waited < patience; waited += 0.01) pause_ms(10);
    *hung = r->left > 0;
    r->give_up = true;
    pthread_join(r->thread, NULL);
    r->serving = false;
    book_close(&r->book);
    *err = r->err;
    return r->err.code;
}

/* ---- the others ---- */

static ph_status ask(struct ranks *r, int64_t what, int64_t *unit, ph_error *err)
{
    struct message m = {.what = what, .unit = *unit};
    MPI_Send(&m, (int)sizeof m, MPI_BYTE, 0, TAG_ASK, r->comm);
    for (int there = 0; !there; pause_ms(1)) /* in place of spinning in MPI_Recv */
        MPI_Iprobe(0, TAG_ANSWER, r->comm, &there, MPI_STATUS_IGNORE);
    MPI_Recv(&m, (int)sizeof m, MPI_BYTE, 0, TAG_ANSWER, r->comm, MPI_STATUS_IGNORE);
    *unit = m.unit;
    if (m.what == PH_OK) return PH_OK;
    *err = (ph_error){.code = (ph_status)m.what, .pos = -1};
    snprintf(err->msg, sizeof err->msg, "rank 0: %.150s", m.text);
    return err->code;
}

ph_status ranks_hello(struct ranks *r, uint64_t digest, ph_error *err)
{
    int64_t theirs = 0;
    const ph_status st = ask(r, HELLO, &theirs, err);
    if (st != PH_OK || (uint64_t)theirs == digest) return st;
    *err = (ph_error){PH_EINVAL, -1,
                      "this rank has another plan than rank 0: other files or processors"};
    return PH_EINVAL;
}

ph_status ranks_take(struct ranks *r, long long *unit, ph_error *err)
{
    int64_t at = 0;
    const ph_status st = ask(r, TAKE, &at, err);
    *unit = (long long)at;
    return st;
}

ph_status ranks_renew(struct ranks *r, long long unit, ph_error *err)
{
    int64_t at = unit;
    return ask(r, RENEW, &at, err);
}

ph_status ranks_release(struct ranks *r, long long unit, ph_error *err)
{
    int64_t at = unit;
    return ask(r, RELEASE, &at, err);
}

ph_status ranks_finish(struct ranks *r, long long unit, ph_error *err)
{
    int64_t at = unit;
    return ask(r, FINISH, &at, err);
}

void ranks_end(struct ranks **ranks, int status, bool hung)
{
    struct ranks *r = *ranks;
    int64_t at = 0;
    ph_error err;

    if (!r) return;
    *ranks = NULL;
    if (hung || (status && status != EXIT_INTERRUPTED)) MPI_Abort(r->comm, status);
    if (r->rank) (void)ask(r, BYE, &at, &err);
    MPI_Comm_free(&r->comm);
    MPI_Finalize();
    free(r);
}

#else

static ph_status no_mpi(ph_error *err)
{
    *err = (ph_error){PH_EUNSUPPORTED, -1,
                      "started as one of several processes, but built without MPI "
                      "(on one machine: --workers N)"};
    return PH_EUNSUPPORTED;
}

ph_status ranks_begin(struct ranks **out, int *rank, int *size, ph_error *err)
{
    *out = NULL;
    *rank = 0;
    *size = 1;
    return no_mpi(err);
}

ph_status ranks_serve(struct ranks *r, const char *path, const struct units *units, double lease,
                      ph_error *err)
{
    (void)r;
    (void)path;
    (void)units;
    (void)lease;
    return no_mpi(err);
}

ph_status ranks_wait(struct ranks *r, double patience, bool *hung, ph_error *err)
{
    (void)r;
    (void)patience;
    *hung = false;
    return no_mpi(err);
}

ph_status ranks_hello(struct ranks *r, uint64_t digest, ph_error *err)
{
    (void)r;
    (void)digest;
    return no_mpi(err);
}

ph_status ranks_take(struct ranks *r, long long *unit, ph_error *err)
{
    (void)r;
    *unit = BOOK_DONE;
    return no_mpi(err);
}

ph_status ranks_renew(struct ranks *r, long long unit, ph_error *err)
{
    (void)r;
    (void)unit;
    return no_mpi(err);
}

ph_status ranks_release(struct ranks *r, long long unit, ph_error *err)
{
    return ranks_renew(r, unit, err);
}

ph_status ranks_finish(struct ranks *r, long long unit, ph_error *err)
{
    return ranks_renew(r, unit, err);
}

void ranks_end(struct ranks **r, int status, bool hung)
{
    (void)r;
    (void)status;
    (void)hung;
}

#endif
