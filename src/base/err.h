/* err.h — making and passing on errors.
 *
 * The lowest function that knows the name of the thing writes the message; nobody overwrites it.
 */
#ifndef PH_ERR_H
#define PH_ERR_H

#include <phosphene.h>

/* Fill *err (NULL allowed) with code, pos (byte offset, -1 where there is none) and a one-line
 * message; returns code, so that `return ph__fail(err, …)` reads as a sentence. */
__attribute__((format(printf, 4, 5))) ph_status ph__fail(ph_error *err, ph_status code, int64_t pos,
                                                         const char *fmt, ...);

/* Out of memory while getting `bytes`. */
ph_status ph__fail_memory(ph_error *err, size_t bytes);

/* Pass an error on; only where nothing needs freeing. */
#define PH_TRY(call)                                                                               \
    do {                                                                                           \
        ph_status ph_try_status_ = (call);                                                         \
        if (ph_try_status_ != PH_OK) return ph_try_status_;                                        \
    } while (0)

/* Pass an error on through the function's `done:` label; `st` is its status variable. */
#define PH_GO(call)                                                                                \
    do {                                                                                           \
        if ((st = (call)) != PH_OK) goto done;                                                     \
    } while (0)

#endif
