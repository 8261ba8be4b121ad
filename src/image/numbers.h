/* The range of numbers that a release gives to an image: its part of the pool that the recipe names.
 *
 * A pool has one authority (docs/ledger.md, rule 2). The numbers of a JOB come from its cloud; a SAP's come from the station
 * that runs it, which knows nothing of what the cloud has given. So a SAP gets a range of its own, and its pool an ID of its
 * own, "microbit-serial.900001-900999": no authority takes one for the other.
 *
 * The range is a restriction, beside the content: the content of an object, and so its digest, is the same in every sealing.
 * Who opens an image sees the narrowed pool.
 *
 * Thread rule: no state; any thread. */
#pragma once

#include "image/clear.h"
#include "image/content.h"

#define IMP_NUMBERS_WARNING                                                                                  \
    "every station that runs this image gives these numbers: load it on one station only"

#define IMP_NUMBERS_STATION ".station" /* behind the ID of an external pool in a SAP */

/* Are first and last numbers of this pool, first not behind last? Errors: E4013; E1004 for a pool whose ID is too long to get
 * the range's; E3030 for a definition without bounds. */
gboolean imp_numbers_check_range(const ImpPoolUse *pool, guint64 first, guint64 last,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* May an image of this kind with this content have these restrictions? Errors: E4012 for a SAP that takes numbers and names
 * none; E1001 for numbers where none belong; those of imp_numbers_check_range. */
gboolean imp_numbers_check(ImpImageKind kind, const ImpContent *content, const ImpRestrictions *restrictions,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Only whether a SAP names a range for each pool that needs one (E4012): also for content that is narrowed already. */
gboolean imp_numbers_complete(ImpImageKind kind, const ImpContent *content,
                              const ImpRestrictions *restrictions, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Are the pool's numbers given with the launches? */
gboolean imp_numbers_is_external(const ImpPoolUse *pool);

/* Adds a range for the pool of this ID; NULL: for the only one that needs a range. E1001: no such pool, several, or named twice. */
gboolean imp_numbers_add(const ImpPoolUse *pools, gsize n_pools, const char *id, guint64 first, guint64 last,
                         ImpRestrictions *restrictions, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Narrows the content's pools to the restrictions' numbers, and gives a SAP's external pools the name of a station's own: what one
 * station has seen is not what an account has. Without pools nothing changes. Errors: E1001 where the content has no such pool;
 * those of imp_numbers_check_range; E1004. */
gboolean imp_numbers_narrow(ImpImageKind kind, ImpContent *content, const ImpRestrictions *restrictions,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* What the recipe calls a pool that was narrowed to range. Free with g_free. */
char *imp_numbers_recipe_id(const ImpPoolUse *pool, const ImpNumberRange *range);

/* "900001 to 900999 of pool microbit-serial, as pool microbit-serial.900001-900999": free with g_free. pool_id: the recipe's. */
char *imp_numbers_text(const char *pool_id, guint64 first, guint64 last);
